// Shows a message if the page stays empty because the browser lacks a feature. A separate script in the syntax of old
// browsers, so that it runs where the others do not.
(function () {
  function say() {
    var app = document.getElementById('app');
    if (!app || app.textContent.trim() !== '') return;
    var line = document.createElement('p');
    line.setAttribute('role', 'alert');
    line.textContent =
      'This page does not work in this browser. Use a current Chrome, Edge or Firefox. · ' +
      '此浏览器无法显示本页，请使用新版 Chrome、Edge 或 Firefox。';
    app.appendChild(line);
  }
  addEventListener('error', say);
  addEventListener('unhandledrejection', say);
  if (!('noModule' in document.createElement('script'))) addEventListener('DOMContentLoaded', say);
})();
