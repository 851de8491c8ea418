import { createApp } from 'vue';
import { i18n, loadAdminTexts } from '../i18n';
import { insist, sayLate } from '../late';
import '../theme';
import AdminPage from '../ui/admin/AdminPage.vue';
import { retryStyles } from '../ui/common/part';
import '../ui/styles/tokens.css';
import '../ui/styles/base.css';
import '../ui/styles/controls.css';
import { addressOf } from '../core/address';
import { realClock } from '../core/clock';
import { signalApi } from '../siteConfig';
import { AdminApi } from './api';
import { Operator, type OperatorView } from './operator';

const base = new URL('./', location.href);

/** Polls while the page is visible. */
function operate(show: (view: OperatorView) => void): Operator {
  const operator = new Operator((token) => new AdminApi(base, token), realClock, show);
  document.addEventListener('visibilitychange', () => {
    operator.setVisible(!document.hidden);
  });
  return operator;
}

function late(): void {
  sayLate(document.querySelector('#app'));
}

retryStyles();
// The page works at the server's admin path, beside its API. Opened as a file of the dist, it redirects there.
if (location.pathname.endsWith('/admin.html')) {
  location.replace(addressOf(location.href, './', await insist(signalApi, late)).http('admin/'));
}
await insist(loadAdminTexts, late);
const app = createApp(AdminPage, { operate });
// For `guard.js`, which shows a message if nothing is rendered.
app.config.throwUnhandledErrorInProduction = true;
app.use(i18n).mount('#app');
