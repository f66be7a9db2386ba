// Runs before the page is drawn, so that it does not flash: scripts work, and this is the theme that was chosen.
(function () {
  'use strict';
  const root = document.documentElement;
  root.classList.add('scripted');
  let theme = null;
  try {
    theme = localStorage.getItem('batchscope-theme');
  } catch (error) {
    // a page from a file may not be allowed to remember
  }
  if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
})();
