// Phases of an interval as strips over the time series: a row a track.

page.phases = (function () {
  const row_height = 16;

  function legend_of(names) {
    const legend = page.make('div', {class: 'legend phase-legend'});
    names.forEach((name, index) => {
      const mark = page.make('span', {class: 'swatch'});
      mark.style.background = page.theme.colour(index);
      legend.append(page.make('span', {}, mark, name));
    });
    return legend;
  }

  function detail_of(phase) {
    const [name, begin, end, count, detail] = phase;
    const what = count > 1 ? `${count} × ${name}` : name;
    return `${what}, ${page.seconds(begin)} to ${page.seconds(end)} (${page.seconds(end - begin)})${detail ? ': ' + detail : ''}`;
  }

  // The phase at a time: of those that overlap the shortest, which lies on top.
  function phase_at(track, time, tolerance) {
    let found = null;
    for (const phase of track.phases)
      if (phase[1] - tolerance <= time && time <= phase[2] + tolerance && (found === null || phase[2] - phase[1] <= found[2] - found[1]))
        found = phase;
    return found;
  }

  function draw(strip, names, area, range) {
    const canvas = strip.canvas, ratio = window.devicePixelRatio || 1;
    const width = Math.max(area.w, 1);
    canvas.style.marginLeft = `${area.x}px`;
    canvas.style.width = `${width}px`;
    canvas.width = width * ratio;
    canvas.height = row_height * ratio;
    const context = canvas.getContext('2d');
    context.scale(ratio, ratio);
    context.font = `10px ${page.theme.value('--font')}`;
    const place = (time) => (time - range[0]) / (range[1] - range[0]) * width;
    for (const phase of strip.track.phases) {
      const from = Math.max(place(phase[1]), -1), to = Math.min(place(phase[2]), width + 1);
      if (to < 0 || from > width) continue;
      const shown = Math.max(to - from, 1);
      context.fillStyle = page.theme.colour(names.indexOf(phase[0]));
      context.globalAlpha = 0.75;
      context.fillRect(from, 2, shown > 3 ? shown - 0.7 : shown, row_height - 4);
      const label = phase[3] > 1 ? `${phase[3]} × ${phase[0]}` : phase[0];
      context.globalAlpha = 1;
      if (shown > context.measureText(label).width + 8) {
        context.fillStyle = page.theme.value('--on-phase');
        context.fillText(label, Math.max(from, 0) + 4, row_height - 4.5);
      }
    }
    strip.range = range;
    strip.width = width;
  }

  // Strips in `box`; redraw(area, range) puts them under charts whose plots have that area and show that time.
  function add(box, tracks) {
    const names = [...new Set(tracks.flatMap((track) => track.phases.map((phase) => phase[0])))];
    const strips = tracks.map((track) => {
      const canvas = page.make('canvas', {role: 'img', 'aria-label': `Phases of ${track.name}`});
      const strip = {track: track, canvas: canvas, range: [0, 1], width: 1};
      canvas.addEventListener('mousemove', (event) => {
        const time = strip.range[0] + event.offsetX / strip.width * (strip.range[1] - strip.range[0]);
        const phase = phase_at(track, time, 2 / strip.width * (strip.range[1] - strip.range[0]));
        canvas.title = phase ? detail_of(phase) : '';
      });
      box.append(page.make('div', {class: 'strip'}, page.make('span', {class: 'track'}, track.name), canvas));
      return strip;
    });
    if (names.length > 0) box.append(legend_of(names));
    return (area, range) => strips.forEach((strip) => draw(strip, names, area, range));
  }

  return {add: add};
})();
