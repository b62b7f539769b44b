#include "ldm/app/gallery_page.h"

namespace ldm::app {

namespace {

constexpr std::string_view kScript = R"js(
function section(title, ...content) {
  const box = element('section');
  box.append(element('h3', '', title), ...content);
  return box;
}
function copyButton(text) {
  const made = element('button', '', 'Copy');
  made.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = element('textarea');
      area.value = text;
      byId('view').append(area);
      area.select();
      document.execCommand('copy');
      area.remove();
    }
    made.textContent = 'Copied';
    setTimeout(() => { made.textContent = 'Copy'; }, 1500);
  });
  return made;
}
function table(picture, wanted) {
  const list = element('dl');
  for (const key of wanted.filter((name) => picture.settings.has(name))) {
    const value = picture.settings.get(key);
    const cell = element('dd'), button = element('button', '', value || '–');
    button.title = 'Show only these';
    button.addEventListener('click', () => { close(); toggle(key, value, true); });
    cell.append(button);
    list.append(element('dt', '', label(key)), cell);
  }
  return list;
}
function about(picture) {
  const box = byId('about'), texts = ['prompt', 'negative_prompt'];
  const parts = texts.filter((key) => picture.settings.get(key)).map((key) =>
    section(label(key), element('p', '', picture.settings.get(key))));
  if (picture.command) {
    const made = section('Make it again', element('pre', '', picture.command));
    made.firstChild.append(copyButton(picture.command));
    if (picture.notes.length) {
      const notes = element('ul');
      for (const note of picture.notes) notes.append(element('li', '', note));
      made.append(notes);
    }
    parts.push(made);
  }
  const rest = names.filter((key) => !texts.includes(key));
  parts.push(section('Settings', table(picture, rest.filter((key) => !isFingerprint(key)))));
  const prints = table(picture, rest.filter(isFingerprint));
  if (prints.children.length) parts.push(section('Fingerprints', prints));
  box.replaceChildren(...parts);
}
function open(picture) {
  const link = element('a', '', picture.file), image = byId('large');
  link.href = picture.url;
  link.style.color = 'inherit';
  byId('name').replaceChildren(link);
  image.src = picture.url;
  image.alt = picture.settings.get('prompt') || picture.file;
  image.className = Math.max(picture.width, picture.height) <= 160 ? 'px' : '';
  about(picture);
  state.view = picture.file;
  writeHash();
  if (!byId('view').open) byId('view').showModal();
}
function close() { if (byId('view').open) byId('view').close(); }
function step(by) {
  const at = shown.findIndex((p) => p.file === state.view);
  if (shown.length) open(shown[(at + by + shown.length) % shown.length]);
}
function showHash() {
  readHash();
  update();
  const picture = state.view && pictures.find((p) => p.file === state.view);
  if (picture) open(picture); else close();
}
function listBroken() {
  if (!data.broken.length && !data.links) return;
  const list = element('ul');
  for (const file of data.broken) list.append(element('li', '', file.f + ' — ' + file.why));
  byId('broken').append(element('h2', '', `Not shown: ${data.broken.length} unreadable` +
    (data.links ? `, ${plural(data.links, 'symbolic link')} not followed` : '')), list);
  byId('broken').hidden = false;
}

document.title = data.folder + ' – ldm-gen gallery';
byId('title').textContent = data.folder;
for (const key of ['file', ...varying]) {
  const option = element('option', '', label(key));
  option.value = key;
  byId('sort').append(option);
}
buildFacets();
listBroken();
for (const [, parts] of facets) parts.box.addEventListener('toggle', () => updateFacets(tests()));
let waiting = 0;
on('search', 'input', () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => { state.q = byId('search').value; update(); }, 120);
});
on('sort', 'change', () => { state.sort = byId('sort').value; update(); });
on('turn', 'click', () => {
  state.sort = state.sort.startsWith('-') ? state.sort.slice(1) : '-' + state.sort;
  update();
});
on('size', 'input', () => {
  state.thumb = Number(byId('size').value);
  document.documentElement.style.setProperty('--thumb', state.thumb + 'px');
});
on('size', 'change', writeHash);
on('close', 'click', close);
on('previous', 'click', () => step(-1));
on('next', 'click', () => step(1));
on('view', 'close', () => { state.view = ''; byId('large').removeAttribute('src'); writeHash(); });
on('view', 'click', (event) => { if (event.target === byId('view')) close(); });
on('view', 'keydown', (event) => {
  if (event.key === 'ArrowLeft') step(-1);
  if (event.key === 'ArrowRight') step(1);
});
window.addEventListener('hashchange', showHash);
showHash();
)js";

}  // namespace

std::string_view gallery_view_script() { return kScript; }

}  // namespace ldm::app
