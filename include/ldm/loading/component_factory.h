#pragma once

#include <memory>

#include "ldm/loading/model_files.h"
#include "ldm/models/autoencoder.h"
#include "ldm/models/denoiser.h"
#include "ldm/models/text_encoder.h"

namespace ldm {

/// The module that a component's class name and config describe, its parameters placeholders.
/// Error::model for a class that is not of that kind and for a config that does not validate.
std::shared_ptr<models::TextEncoderImpl> make_text_encoder(const ComponentFiles& files);
std::shared_ptr<models::DenoiserImpl> make_denoiser(const ComponentFiles& files);
std::shared_ptr<models::AutoencoderImpl> make_autoencoder(const ComponentFiles& files);

}  // namespace ldm
