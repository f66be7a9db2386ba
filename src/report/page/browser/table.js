// Tables: sorting by a button in each header, a filter, the rows as CSV.

page.tables = (function () {
  const many_rows = 9;  // fewer are seen at once

  // What a cell sorts and exports as: its unrounded value where it has one.
  function value_of(cell) {
    return cell.dataset.value !== undefined ? Number(cell.dataset.value) : cell.textContent.trim();
  }

  // Numbers before words, nothing last, whichever way round.
  function compare(a, b, direction) {
    const rank = (value) => (typeof value === 'number' ? 0 : value === '' || value === '?' || value === '-' ? 2 : 1);
    if (rank(a) !== rank(b)) return rank(a) - rank(b);
    if (typeof a === 'number') return direction * (a - b);
    return direction * a.localeCompare(b, 'en', {numeric: true});
  }

  function sort(table, column, direction) {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [value_of(row.cells[column]), row]);
    rows.sort((a, b) => compare(a[0], b[0], direction));
    body.append(...rows.map((entry) => entry[1]));
  }

  function make_sortable(table) {
    const headers = [...table.tHead.rows[0].cells];
    headers.forEach((header, column) => {
      const label = header.textContent;
      const button = page.make('button', {type: 'button', class: 'sort'}, label);
      button.addEventListener('click', () => {
        const direction = header.getAttribute('aria-sort') === 'ascending' ? -1 : 1;
        headers.forEach((other) => other.removeAttribute('aria-sort'));
        header.setAttribute('aria-sort', direction > 0 ? 'ascending' : 'descending');
        sort(table, column, direction);
      });
      header.replaceChildren(button);
    });
  }

  // RFC 4180; a text that a spreadsheet would take for a formula is quoted and begins with an apostrophe.
  function csv_field(value) {
    let text = String(value);
    if (typeof value === 'string' && /^[=+@\t\r]/.test(text)) text = "'" + text;
    return /[",\r\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
  }

  function csv(table) {
    const line = (cells) => cells.map(csv_field).join(',') + '\n';
    const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
    return line([...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim())) +
        rows.map((row) => line([...row.cells].map(value_of))).join('');
  }

  // Rows that have all the words, and in each chosen column the chosen value.
  function apply_filter(table, controls) {
    const words = controls.text.value.toLowerCase().split(/\s+/).filter((word) => word !== '');
    let seen = 0;
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word)) &&
          controls.choices.every((choice) => choice.value === '' ||
                                             row.cells[choice.dataset.column].textContent.trim() === choice.value);
      row.hidden = !fits;
      seen += fits ? 1 : 0;
    }
    const total = table.tBodies[0].rows.length;
    controls.count.textContent = seen === total ? `${total} rows` : `${seen} of ${total} rows`;
  }

  // Columns of words with few different ones can be chosen from.
  function choices_of(table, changed) {
    const choices = [];
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      if (column === 0 || !header.classList.contains('text') || header.dataset.path === undefined) return;
      const values = new Set([...table.tBodies[0].rows].map((row) => row.cells[column].textContent.trim()));
      if (values.size < 2 || values.size > 20 || [...values].some((value) => value.length > 40)) return;
      const label = header.textContent;
      const choice = page.make('select', {'data-column': column, 'aria-label': label, onchange: changed},
                               page.make('option', {value: ''}, `${label}: any`));
      for (const value of [...values].sort()) choice.append(page.make('option', {value: value}, value || '(none)'));
      choices.push(choice);
    });
    return choices;
  }

  function add_filter(table, box, name) {
    const controls = {};
    const changed = () => apply_filter(table, controls);
    controls.text = page.make('input', {type: 'search', placeholder: 'Filter rows', 'aria-label': `Filter rows of ${name}`, oninput: changed});
    controls.choices = table.classList.contains('cells') ? choices_of(table, changed) : [];
    controls.count = page.make('span', {class: 'count', role: 'status'});
    box.before(page.make('div', {class: 'controls'}, controls.text, ...controls.choices, controls.count));
    changed();
  }

  // Beside the heading where there is one.
  function add_download(table, box, name) {
    const button = page.button('CSV', `Download ${name} as CSV`, () => page.download(page.file_name(name) + '.csv', 'text/csv', csv(table)));
    const heading = box.parentElement.querySelector(':scope > h3, :scope > h2');
    const row = page.make('div', {class: 'heading'});
    if (heading !== null) {
      heading.before(row);
      row.append(heading);
    } else {
      box.before(row);
    }
    row.append(page.make('span', {class: 'space'}), button);
  }

  function enhance(table) {
    const box = table.closest('.scroll');
    const name = box.getAttribute('aria-label');
    add_download(table, box, name);
    if (table.tBodies[0].rows.length > (table.classList.contains('cells') ? 1 : many_rows)) add_filter(table, box, name);
    if (table.tBodies[0].rows.length > 1) make_sortable(table);
  }

  return {enhance: enhance, csv: csv};
})();
