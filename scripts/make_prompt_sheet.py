#!/usr/bin/env python3
"""Makes README's sheet of prompts with weights, with the embedded model.

    scripts/make_prompt_sheet.py -o sheet.png

Row 1: a second prompt joined by AND, with rising weight. Row 2: one word replaced by another, ever
later. Row 3: a weight on all that is asked for, from too little to too much. Needs Pillow.
"""
from make_start_sheet import draw, main

COMPOSED = "a red apple on a blue background AND a red apple on a yellow background :{}"
EDITED = "a green [frog:apple:{}] on a white background"
WEIGHTED = "a (red apple:{0}) on a (blue background:{0})"


def rows(folder):
    def row(name, prompt, values, *more):
        return [draw(folder, f"{name}{value}.png", "--prompt-syntax", "weighted", *more, "-p",
                     prompt.format(value), "-s", "3") for value in values]

    return [row("c", COMPOSED, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
            row("e", EDITED, (0.0, 0.3, 0.6, 0.8, 0.9, 1.0)),
            row("w", WEIGHTED, (0.1, 0.3, 0.6, 1.0, 1.3, 1.6), "--prompt-weighting", "comfyui")]


if __name__ == "__main__":
    main(__doc__, rows)
