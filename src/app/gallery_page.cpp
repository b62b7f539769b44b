#include "ldm/app/gallery_page.h"

namespace ldm::app {

namespace {

constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --thumb: 176px; --line: #d9d9de; --back: #f6f6f8;
  --card: #fff; --text: #1c1c21; --soft: #6b6b76; --accent: #2f6fde; --tint: #e7effd; }
@media (prefers-color-scheme: dark) {
  :root { --line: #34343c; --back: #17171b; --card: #212127; --text: #ececf1; --soft: #9a9aa6;
    --accent: #7aa8ff; --tint: #27324a; } }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 14px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
button, input, select { font: inherit; color: inherit; background: var(--card);
  border: 1px solid var(--line); border-radius: 7px; padding: .35em .65em; }
button { cursor: pointer; }
button:hover, select:hover { border-color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
header { position: sticky; top: 0; z-index: 2; display: flex; flex-wrap: wrap; gap: .6em;
  align-items: center; padding: .65em 1.1em; background: var(--card);
  border-bottom: 1px solid var(--line); }
header h1 { margin: 0; font-size: 1.1em; max-width: 22em; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; }
#count { color: var(--soft); margin-right: auto; white-space: nowrap; }
#search { width: min(24em, 40vw); }
header label { color: var(--soft); display: flex; align-items: center; gap: .4em; }
#size { width: 7em; padding: 0; accent-color: var(--accent); }
.page { display: grid; grid-template-columns: 256px minmax(0, 1fr); align-items: start; }
aside { position: sticky; top: 3.4em; max-height: calc(100vh - 3.4em); overflow: auto;
  padding: .8em .4em 2em 1.1em; }
main { padding: 1em 1.1em 3em; min-width: 0; }
aside details { border-bottom: 1px solid var(--line); padding: .35em 0; }
summary { cursor: pointer; font-weight: 600; padding: .15em 0; }
aside label { display: flex; gap: .45em; align-items: baseline; padding: .1em 0; cursor: pointer; }
aside label span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; flex: 1; }
aside label small { color: var(--soft); font-variant-numeric: tabular-nums; }
aside label.none { opacity: .4; }
aside .range { display: flex; gap: .4em; align-items: center; padding: .25em .2em; }
aside .range input, aside input.contains { width: 100%; min-width: 0; }
aside .values { max-height: 15em; overflow: auto; }
aside dl, .panel dl { margin: .3em 0; }
aside dt { color: var(--soft); } aside dd { margin: 0 0 .3em; overflow-wrap: anywhere; }
#chips { display: flex; flex-wrap: wrap; gap: .4em; margin-bottom: .8em; }
#chips:empty { display: none; }
#chips button { background: var(--tint); border-color: transparent; border-radius: 99px;
  max-width: 100%; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#grid { display: grid; gap: 12px;
  grid-template-columns: repeat(auto-fill, minmax(var(--thumb), 1fr)); }
.card { display: flex; flex-direction: column; background: var(--card); color: inherit;
  border: 1px solid var(--line); border-radius: 10px; overflow: hidden; text-decoration: none;
  content-visibility: auto; contain-intrinsic-size: auto var(--thumb) auto 260px; }
.card:hover { border-color: var(--accent); box-shadow: 0 2px 10px #0002; }
.card img { width: 100%; height: auto; aspect-ratio: 1; object-fit: contain; background: #8881; }
.px { image-rendering: pixelated; }
.card.lost img { opacity: .25; }
.card p { margin: .5em .65em 0; display: -webkit-box; -webkit-line-clamp: 2;
  -webkit-box-orient: vertical; overflow: hidden; overflow-wrap: anywhere; }
.card small { margin: .2em .65em .6em; color: var(--soft); overflow-wrap: anywhere; }
#empty { color: var(--soft); padding: 3em 0; text-align: center; }
#broken { margin-top: 2.5em; color: var(--soft); overflow-wrap: anywhere; }
#broken h2 { font-size: 1em; color: var(--text); }
dialog { width: min(1500px, 96vw); height: 94vh; padding: 0; border: 1px solid var(--line);
  border-radius: 12px; background: var(--card); color: inherit; overflow: hidden; }
dialog::backdrop { background: #000a; }
.view { display: grid; grid-template-columns: minmax(0, 1fr) 27em; height: 100%; }
.stage { display: flex; align-items: center; justify-content: center; min-height: 0;
  background: #8881; position: relative; }
.stage img { width: 100%; height: 100%; object-fit: contain; padding: 1em; }
.stage button { position: absolute; top: 50%; font-size: 1.5em; padding: .1em .45em; opacity: .8; }
#previous { left: .4em; } #next { right: .4em; }
.panel { overflow: auto; padding: 1em 1.2em 2em; border-left: 1px solid var(--line); }
.panel h2 { font-size: 1.05em; margin: 0 2.4em .6em 0; overflow-wrap: anywhere; }
.panel h3 { font-size: .8em; letter-spacing: .04em; text-transform: uppercase;
  color: var(--soft); margin: 1.3em 0 .35em; display: flex; justify-content: space-between;
  align-items: end; }
.panel h3 button { text-transform: none; letter-spacing: 0; }
.panel p { margin: .2em 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.panel pre { margin: 0; padding: .7em; background: var(--back); border-radius: 8px;
  white-space: pre-wrap; overflow-wrap: anywhere; font: 12.5px/1.5 ui-monospace, monospace; }
.panel ul { margin: .5em 0 0; padding-left: 1.2em; color: var(--soft); }
.panel dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .18em .9em; }
.panel dt { color: var(--soft); } .panel dd { margin: 0; overflow-wrap: anywhere; }
.panel dd button { all: unset; cursor: pointer; border-bottom: 1px dotted var(--soft); }
.panel dd button:hover { color: var(--accent); }
#close { position: absolute; right: .8em; top: .8em; }
@media (max-width: 860px) {
  .page { grid-template-columns: 1fr; } aside { position: static; max-height: none; }
  .view { grid-template-columns: 1fr; grid-template-rows: 55% 45%; }
  .panel { border-left: 0; border-top: 1px solid var(--line); } }
)css";

constexpr std::string_view kBody = R"html(
<header>
<h1 id="title">Pictures</h1><span id="count"></span>
<input id="search" type="search" placeholder="Search prompts and names" aria-label="Search">
<label>Sort <select id="sort"></select></label>
<button id="turn" title="Other way round" aria-label="Sort the other way round">↑</button>
<label>Size <input id="size" type="range" min="80" max="512" step="8" value="176"></label>
</header>
<div class="page">
<aside id="facets" aria-label="Filters"></aside>
<main>
<div id="chips"></div><div id="grid"></div><p id="empty" hidden>No picture fits these filters.</p>
<section id="broken" hidden></section>
<noscript>This page shows its pictures by a script of its own; nothing comes from the network.
</noscript>
</main></div>
<dialog id="view"><div class="view">
<div class="stage"><img id="large" alt=""><button id="previous" aria-label="Previous">‹</button>
<button id="next" aria-label="Next">›</button></div>
<div class="panel"><button id="close" aria-label="Close">✕</button><h2 id="name"></h2>
<div id="about"></div></div></div></dialog>
)html";

}  // namespace

std::string_view gallery_style() { return kStyle; }

std::string_view gallery_body() { return kBody; }

}  // namespace ldm::app
