// Makes the page handy, once all of it is there.

(function () {
  const button = page.make('button', {type: 'button', class: 'theme', onclick: page.theme.toggle});
  const label = () => {
    button.textContent = page.theme.name() === 'dark' ? 'Light' : 'Dark';
    button.title = `Show this page ${button.textContent.toLowerCase()}`;
  };
  label();
  page.theme.on_change(label);
  document.querySelector('.banner h1').after(button);

  document.querySelectorAll('main > section table.data').forEach((table) => {
    if (table.closest('.cell-body') === null) page.tables.enhance(table);
  });
  const cells = document.querySelector('table.cells');
  if (cells !== null) page.cells.enhance(cells);
  page.figures.enhance(document.querySelectorAll('figure[data-figure]'));
  document.querySelectorAll('.series.at-once').forEach((box) => page.series.open(box));
  document.documentElement.classList.add('ready');
})();
