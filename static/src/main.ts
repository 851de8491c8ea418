import { createApp } from 'vue';
import { i18n, loadTexts } from './i18n';
import App from './ui/App.vue';
import './ui/styles/tokens.css';
import './ui/styles/base.css';
import './ui/styles/controls.css';

await loadTexts();
createApp(App).use(i18n).mount('#app');
