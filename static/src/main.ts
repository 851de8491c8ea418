import { createApp } from 'vue';
import { i18n, loadTexts } from './i18n';
import { insist, sayLate } from './late';
import { signalApi } from './siteConfig';
import App from './ui/App.vue';
import { retryStyles } from './ui/common/part';
import './theme';
import './ui/styles/tokens.css';
import './ui/styles/base.css';
import './ui/styles/controls.css';

retryStyles();
const [api] = await insist(
  () => Promise.all([signalApi(), loadTexts()]),
  () => {
    sayLate(document.querySelector('#app'));
  },
);
const app = createApp(App, { api });
// For `guard.js`, which shows a message if nothing is rendered.
app.config.throwUnhandledErrorInProduction = true;
app.use(i18n).mount('#app');
