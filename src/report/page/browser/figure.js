// Figures: shows the values of the point nearest to the pointer, hides series from the legend, downloads.

page.figures = (function () {
  const reach = 24;  // px between the pointer and the point whose values are shown
  const tip = page.make('div', {class: 'tip', role: 'status', hidden: true});

  function nearest(drawing, x, y) {
    let found = null, least = reach;
    for (const title of drawing.querySelectorAll('path > title, rect > title')) {
      const box = title.parentNode.getBoundingClientRect();
      if (box.height === 0) continue;  // its series is hidden
      const gap = Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));
      const distance = gap + Math.hypot((box.left + box.right) / 2 - x, (box.top + box.bottom) / 2 - y) / 1000;
      if (distance <= least) {  // of several in one place the one on top
        found = {box: box, text: title.textContent};
        least = distance;
      }
    }
    return found;
  }

  function show(drawing, event) {
    const point = nearest(drawing, event.clientX, event.clientY);
    tip.hidden = point === null;
    if (point === null) return;
    tip.textContent = point.text;
    const middle = (point.box.left + point.box.right - tip.offsetWidth) / 2, above = point.box.top - tip.offsetHeight - 8;
    tip.style.left = `${Math.max(4, Math.min(middle, document.documentElement.clientWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${above > 4 ? above : point.box.bottom + 8}px`;
  }

  // By attributes, so that a download looks the same.
  function toggle(drawing, entry) {
    const hides = !entry.hasAttribute('opacity');
    const set = (element, name, value) => (hides ? element.setAttribute(name, value) : element.removeAttribute(name));
    set(entry, 'opacity', '0.35');
    for (const part of drawing.querySelectorAll('[data-series]:not(.entry)'))
      if (part.dataset.series === entry.dataset.series) set(part, 'display', 'none');
  }

  const svg_text = (drawing) =>
      '<?xml version="1.0" encoding="UTF-8"?>\n' + new XMLSerializer().serializeToString(drawing.firstElementChild) + '\n';

  function save_png(drawing, name) {
    const image = new Image();
    image.onload = () => {
      const canvas = page.make('canvas', {width: 3 * image.width, height: 3 * image.height});
      canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => page.download(name, 'image/png', blob), 'image/png');
    };
    image.src = 'data:image/svg+xml,' + encodeURIComponent(svg_text(drawing));
  }

  function enhance(box) {
    const id = box.dataset.figure, drawing = box.querySelector('.drawing');
    const of = `Download ${drawing.querySelector('title').textContent} as `;
    box.append(page.make('div', {class: 'tools', role: 'group', 'aria-label': 'Downloads'},
                         page.button('SVG', of + 'SVG', () => page.download(id + '.svg', 'image/svg+xml', svg_text(drawing))),
                         page.button('PNG', of + 'PNG', () => save_png(drawing, id + '.png')),
                         page.button('CSV', of + 'CSV', () => page.download(id + '.csv', 'text/csv', page.data('csv-' + id)))));
    for (const kind of ['pointermove', 'pointerdown']) drawing.addEventListener(kind, (event) => show(drawing, event));
    drawing.addEventListener('pointerleave', () => { tip.hidden = true; });
    drawing.querySelectorAll('.entry').forEach((entry) => {
      entry.setAttribute('tabindex', '0');
      entry.addEventListener('click', () => toggle(drawing, entry));
      entry.addEventListener('keydown', (event) => event.key === 'Enter' && toggle(drawing, entry));
    });
  }

  return {enhance: (boxes) => {
    document.body.append(tip);
    document.addEventListener('scroll', () => { tip.hidden = true; }, {capture: true, passive: true});
    boxes.forEach(enhance);
  }};
})();
