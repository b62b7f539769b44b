#include "ldm/app/gallery_page.h"

namespace ldm::app {

namespace {

constexpr std::string_view kScript = R"js(
'use strict';
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId('data').textContent);
const thumbs = JSON.parse(byId('thumbs').textContent);
// What people look at first; everything else follows by name.
const FIRST = ['prompt', 'negative_prompt', 'sampler', 'schedule', 'steps', 'guidance_scale',
  'seed', 'size', 'model', 'strength', 'eta', 'lora'];
const LISTED = 24;
const collator = new Intl.Collator('en', {numeric: true});
const pictures = data.pictures.map((row, index) => {
  const settings = new Map();
  for (let i = 0; i < row.s.length; i += 2) {
    settings.set(data.keys[row.s[i]], data.values[row.s[i + 1]]);
  }
  settings.set('size', row.w + '×' + row.h);
  const text = [row.f, settings.get('prompt'), settings.get('negative_prompt')];
  return {index, file: row.f, url: row.u, width: row.w, height: row.h, bytes: row.b, settings,
    command: row.c, notes: row.n || [], text: text.join('\n').toLowerCase(), card: null};
});
const keys = new Map();
for (const picture of pictures) {
  for (const [key, value] of picture.settings) {
    if (!keys.has(key)) keys.set(key, new Map());
    keys.get(key).set(value, (keys.get(key).get(value) || 0) + 1);
  }
}
const rank = (key) => (FIRST.indexOf(key) + 1 || FIRST.length + 1) +
  (/sha256|hash|^weights\b|^stages\b/.test(key) ? 1000 : 0);
const names = [...keys.keys()].sort((a, b) => rank(a) - rank(b) || collator.compare(a, b));
const isFingerprint = (key) => rank(key) >= 1000;
const present = (key) => [...keys.get(key).values()].reduce((a, b) => a + b, 0);
const varies = (key) => keys.get(key).size > 1 || present(key) < pictures.length;
const varying = names.filter(varies).slice(0, 80);
const isNumber = (text) => text !== undefined && text !== '' && isFinite(Number(text));
const plural = (count, word) => `${count} ${word}${count === 1 ? '' : 's'}`;
const label = (key) => key.replaceAll('_', ' ');

const noFilters = () =>
  ({q: '', sort: 'file', view: '', is: new Map(), has: new Map(), range: new Map()});
const state = {thumb: 176, ...noFilters()};
let shown = [];

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
function on(id, event, action) { byId(id).addEventListener(event, action); }

function plain(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}
function readHash() {
  Object.assign(state, noFilters());
  for (const part of location.hash.slice(1).split('&')) {
    const sign = part.indexOf('=');
    if (sign < 1) continue;
    const key = plain(part.slice(0, sign)), value = plain(part.slice(sign + 1));
    const range = /^([-\d.e]*)\.\.([-\d.e]*)$/.exec(value);
    if (key === 'q' || key === 'sort' || key === 'view') state[key] = value;
    else if (key === 'thumb') state.thumb = Math.min(512, Math.max(80, Number(value) || 176));
    else if (key.endsWith('~')) state.has.set(key.slice(0, -1), value);
    else if (range) state.range.set(key, [range[1], range[2]]);
    else state.is.set(key, (state.is.get(key) || new Set()).add(value));
  }
}
function writeHash() {
  const parts = [], code = encodeURIComponent;
  if (state.q) parts.push('q=' + code(state.q));
  for (const [key, values] of state.is) {
    for (const v of values) parts.push(code(key) + '=' + code(v));
  }
  for (const [key, text] of state.has) parts.push(code(key) + '~=' + code(text));
  for (const [key, ends] of state.range) parts.push(code(key) + '=' + code(ends.join('..')));
  if (state.sort !== 'file') parts.push('sort=' + code(state.sort));
  if (state.thumb !== 176) parts.push('thumb=' + state.thumb);
  if (state.view) parts.push('view=' + code(state.view));
  history.replaceState(null, '', '#' + parts.join('&'));
}

function within(value, [low, high]) {
  return isNumber(value) && (low === '' || Number(value) >= Number(low)) &&
    (high === '' || Number(value) <= Number(high));
}
/// The tests of all filters, by the setting they ask about.
function tests() {
  const list = [];
  for (const word of state.q.toLowerCase().split(/\s+/).filter(Boolean)) {
    list.push([null, (p) => p.text.includes(word)]);
  }
  for (const [key, values] of state.is) list.push([key, (p) => values.has(p.settings.get(key))]);
  for (const [key, text] of state.has) {
    const low = text.toLowerCase();
    list.push([key, (p) => (p.settings.get(key) || '').toLowerCase().includes(low)]);
  }
  for (const [key, range] of state.range) {
    list.push([key, (p) => within(p.settings.get(key), range)]);
  }
  return list;
}
function order(key) {
  const of = (p) => key === 'file' ? p.file : p.settings.get(key);
  return (a, b) => {
    const x = of(a), y = of(b);
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    const numbers = isNumber(x) && isNumber(y) ? Number(x) - Number(y) : 0;
    return numbers || collator.compare(x, y);
  };
}

const caption = varying.filter((key) =>
  !['prompt', 'negative_prompt', 'index'].includes(key) && !isFingerprint(key)).slice(0, 6);
const cut = (text, most) => text.length > most ? text.slice(0, most - 1) + '…' : text;
const short = {guidance_scale: 'guidance'};
function card(picture) {
  if (picture.card) return picture.card;
  const made = element('a', 'card'), image = element('img');
  made.href = picture.url;
  image.loading = 'lazy';
  image.decoding = 'async';
  image.width = picture.width;
  image.height = picture.height;
  if (Math.max(picture.width, picture.height) <= 160) image.className = 'px';
  image.alt = picture.settings.get('prompt') || picture.file;
  image.addEventListener('error', () => made.classList.add('lost'));
  image.src = thumbs[picture.index] || picture.url;
  const words = caption.filter((key) => picture.settings.get(key)).map((key) =>
    /^[-\d.]/.test(picture.settings.get(key)) && key !== 'size'
      ? (short[key] || label(key)) + ' ' + picture.settings.get(key) : picture.settings.get(key));
  made.title = picture.file;
  made.append(image, element('p', '', picture.settings.get('prompt') || picture.file),
    element('small', '', words.map((word) => cut(word, 40)).join(' · ')));
  made.addEventListener('click', (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(picture);
  });
  return picture.card = made;
}

const facets = new Map();
function buildFacet(key, opened) {
  const box = element('details'), counts = keys.get(key), lines = new Map();
  box.open = opened;
  box.append(element('summary', '', label(key)));
  const numeric = [...counts.keys()].every(isNumber), parts = {box, lines};
  if (counts.size > 8 && numeric) {
    const row = element('div', 'range');
    parts.ends = ['from', 'to'].map((word, end) => {
      const input = element('input');
      input.placeholder = word;
      input.setAttribute('aria-label', label(key) + ' ' + word);
      input.addEventListener('change', () => {
        const range = state.range.get(key) || ['', ''];
        range[end] = isNumber(input.value.trim()) ? input.value.trim() : '';
        if (range.join('')) state.range.set(key, range); else state.range.delete(key);
        update();
      });
      row.append(input);
      return input;
    });
    box.append(row);
  } else if (counts.size > 8) {
    parts.contains = element('input', 'contains');
    parts.contains.placeholder = 'contains …';
    parts.contains.setAttribute('aria-label', label(key) + ' contains');
    parts.contains.addEventListener('input', () => {
      state.has.set(key, parts.contains.value);
      if (!parts.contains.value) state.has.delete(key);
      update();
    });
    box.append(parts.contains);
  }
  const list = element('div', 'values');
  const sorted = [...counts].sort((a, b) =>
    counts.size > LISTED ? b[1] - a[1] : collator.compare(a[0], b[0]));
  for (const [value] of counts.size > LISTED && numeric ? [] : sorted.slice(0, LISTED)) {
    const line = element('label'), tick = element('input'), count = element('small');
    tick.type = 'checkbox';
    tick.addEventListener('change', () => toggle(key, value, tick.checked));
    const text = element('span', '', value === '' ? '(empty)' : value);
    text.title = value.slice(0, 500);
    line.append(tick, text, count);
    lines.set(value, {line, tick, count});
    list.append(line);
  }
  box.append(list);
  facets.set(key, parts);
  return box;
}
function buildFacets() {
  let opened = 0;
  for (const key of varying) {
    byId('facets').append(buildFacet(key, !isFingerprint(key) && ++opened <= 7));
  }
  const common = names.filter((key) => !varies(key));
  if (!common.length) return;
  const box = element('details'), list = element('dl');
  box.append(element('summary', '', 'The same in all'));
  for (const key of common) {
    list.append(element('dt', '', label(key)), element('dd', '', [...keys.get(key).keys()][0]));
  }
  box.append(list);
  byId('facets').append(box);
}
function toggle(key, value, wanted) {
  const values = state.is.get(key) || new Set();
  if (wanted) values.add(value); else values.delete(value);
  if (values.size) state.is.set(key, values); else state.is.delete(key);
  update();
}
/// Beside each value, how many pictures it would show under the other settings' filters.
function updateFacets(list) {
  for (const [key, parts] of facets) {
    const others = list.filter(([about]) => about !== key), counts = new Map();
    if (parts.box.open) {
      for (const p of pictures) {
        if (!others.every(([, test]) => test(p))) continue;
        const value = p.settings.get(key);
        counts.set(value, (counts.get(value) || 0) + 1);
      }
    }
    for (const [value, {line, tick, count}] of parts.lines) {
      const number = counts.get(value) || 0;
      tick.checked = Boolean(state.is.get(key) && state.is.get(key).has(value));
      count.textContent = parts.box.open ? number : '';
      line.classList.toggle('none', number === 0);
    }
    const range = state.range.get(key) || ['', ''];
    if (parts.ends) parts.ends.forEach((input, end) => { input.value = range[end]; });
    if (parts.contains && parts.contains !== document.activeElement) {
      parts.contains.value = state.has.get(key) || '';
    }
  }
}
function chip(text, remove) {
  const made = element('button', '', text + ' ✕');
  made.addEventListener('click', () => { remove(); update(); });
  return made;
}
function updateChips() {
  const chips = [];
  for (const [key, values] of state.is) {
    for (const v of values) {
      chips.push(chip(label(key) + ': ' + cut(v || '(empty)', 60),
        () => { values.delete(v); if (!values.size) state.is.delete(key); }));
    }
  }
  for (const [key, text] of state.has) {
    chips.push(chip(label(key) + ' contains ' + text, () => state.has.delete(key)));
  }
  for (const [key, [low, high]] of state.range) {
    chips.push(chip(label(key) + ': ' + low + ' … ' + high, () => state.range.delete(key)));
  }
  byId('chips').replaceChildren(...chips);
}
function update() {
  const list = tests(), down = state.sort.startsWith('-');
  const compare = order(down ? state.sort.slice(1) : state.sort);
  shown = pictures.filter((p) => list.every(([, test]) => test(p)));
  shown.sort((a, b) => (down ? -compare(a, b) : compare(a, b)) || a.index - b.index);
  byId('grid').replaceChildren(...shown.map(card));
  byId('count').textContent = shown.length === pictures.length
    ? plural(pictures.length, 'picture') : `${shown.length} of ${pictures.length}`;
  byId('empty').hidden = shown.length > 0;
  byId('sort').value = down ? state.sort.slice(1) : state.sort;
  byId('turn').textContent = down ? '↓' : '↑';
  document.documentElement.style.setProperty('--thumb', state.thumb + 'px');
  byId('size').value = state.thumb;
  if (byId('search') !== document.activeElement) byId('search').value = state.q;
  updateFacets(list);
  updateChips();
  writeHash();
}
)js";

}  // namespace

std::string_view gallery_script() { return kScript; }

}  // namespace ldm::app
