#pragma once

/// The constant parts of index.html.
namespace itemcrop::cli::sheet {

inline constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --page: #f6f6f4; --card: #fff; --ink: #1d1d1f; --soft: #63636a;
  --line: #dddddb; --accent: #0b57d0; --on: #fff; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #161618; --card: #212124; --ink: #ececf0; --soft: #a3a3ad; --line: #38383d;
    --accent: #8ab4f8; --on: #161618; --bad: #f2b8b5; } }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0 auto; padding: 1.5rem; max-width: 100rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.5rem; }
h2 { margin: 1.25rem 0 .5rem; font-size: 1.1rem; }
h3 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
p { margin: .25rem 0; }
a { color: var(--accent); }
.soft { color: var(--soft); font-size: .9rem; }
.bad { color: var(--bad); }
nav { position: sticky; top: 0; z-index: 1; margin: .75rem -1.5rem 0; padding: .5rem 1.5rem;
  background: var(--page); border-bottom: 1px solid var(--line); }
nav div { display: flex; flex-wrap: wrap; gap: .4rem; max-height: 8.5rem; overflow-y: auto;
  padding: .2rem; }
nav button, nav input { padding: .3rem .7rem; border: 1px solid var(--line); border-radius: 1rem;
  background: var(--card); color: var(--ink); font: inherit; font-size: .9rem; }
nav input { flex: 0 1 16rem; min-width: 8rem; }
nav button[aria-pressed=true] { background: var(--accent); border-color: var(--accent);
  color: var(--on); }
.problems { margin: 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
.photos { display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 34rem), 1fr)); }
.photo { padding: .75rem; border: 1px solid var(--line); border-radius: .75rem;
  background: var(--card); content-visibility: auto; contain-intrinsic-size: auto 16rem; }
.photo:focus { outline: 2px solid var(--accent); }
.row { display: flex; gap: .75rem; margin-top: .5rem; }
.whole { flex: 0 0 40%; }
.whole img { display: block; width: 100%; max-height: 15rem; object-fit: contain;
  object-position: top; border-radius: .4rem; }
.crops { flex: 1; display: grid; gap: .5rem; margin: 0; padding: 0; list-style: none;
  grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr)); align-content: start; }
.crops img { display: block; width: 100%; height: 8rem; object-fit: contain;
  background: var(--page); border: 1px solid var(--line); border-radius: .4rem; }
.crops span { font-size: .85rem; overflow-wrap: anywhere; }
@media (max-width: 30rem) { .row { flex-direction: column; } }
)";

/// Its SHA-256 stands in kScriptHash; tests/cli/test_sheet.py compares them.
inline constexpr const char* kScript = R"(
'use strict';
const find = (selector) => [...document.querySelectorAll(selector)];
const photos = find('.photo').map((element) => ({
  element,
  items: [...element.querySelectorAll('li')],
  text: [...element.querySelectorAll('h3, li')].map((e) => e.textContent).join('\n').toLowerCase(),
}));
const groups = find('.group');
const nav = document.querySelector('nav');
const search = nav.querySelector('input');
const shown = document.querySelector('#shown');
let item = '';

function apply() {
  const words = search.value.trim().toLowerCase();
  let count = 0;
  for (const photo of photos) {
    let wanted = words === '' || photo.text.includes(words);
    if (item !== '') {
      let any = false;
      for (const crop of photo.items) {
        crop.hidden = crop.dataset.item !== item;
        any = any || !crop.hidden;
      }
      wanted = wanted && any;
    } else {
      for (const crop of photo.items) crop.hidden = false;
    }
    photo.element.hidden = !wanted;
    count += wanted ? 1 : 0;
  }
  for (const group of groups) {
    const members = group.querySelectorAll('.photo');
    group.hidden = members.length === 0 ? item !== '' || words !== ''
      : [...members].every((member) => member.hidden);
  }
  for (const button of nav.querySelectorAll('button')) {
    button.setAttribute('aria-pressed', String(button.dataset.item === item));
  }
  shown.textContent = count === photos.length ? '' : `${count} of ${photos.length} photos`;
}

function choose(value) {
  item = item === value ? '' : value;
  apply();
}

function step(by) {
  const visible = photos.filter((photo) => !photo.element.hidden);
  const at = visible.findIndex((photo) => photo.element === document.activeElement);
  const next = visible[Math.min(Math.max(at + by, 0), visible.length - 1)];
  if (!next) return;
  next.element.scrollIntoView({block: 'center'});
  next.element.focus({preventScroll: true});
}

nav.hidden = false;
nav.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button) choose(button.dataset.item);
});
search.addEventListener('input', apply);
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') {
    search.value = '';
    search.blur();
    item = '';
    apply();
  } else if (event.target === search || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  } else if (event.key === '/') {
    search.focus();
    event.preventDefault();
  } else if (event.key === 'j' || event.key === 'k') {
    step(event.key === 'j' ? 1 : -1);
  } else if (event.key === 'f') {
    document.querySelector('.problems')?.scrollIntoView({block: 'center'});
  }
});
)";

inline constexpr const char* kScriptHash = "sha256-tT5tnCxjDIwF0jvuCfcz1bpZLgAjZvgjxtql1zP6xow=";

}  // namespace itemcrop::cli::sheet
