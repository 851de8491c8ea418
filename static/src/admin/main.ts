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

/** Asks while the page is there to be seen. */
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
// The page works where the server has it, beside its API. As a file of the dist it leads there.
if (location.pathname.endsWith('/admin.html')) {
  location.replace(addressOf(location.href, './', await insist(signalApi, late)).http('admin/'));
}
await insist(loadAdminTexts, late);
const app = createApp(AdminPage, { operate });
// For `guard.js`, which says so if nothing is shown.
app.config.throwUnhandledErrorInProduction = true;
app.use(i18n).mount('#app');
