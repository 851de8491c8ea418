import { createApp } from 'vue';
import { i18n } from './i18n';
import App from './ui/App.vue';
import './ui/styles/tokens.css';
import './ui/styles/base.css';
import './ui/styles/controls.css';

createApp(App).use(i18n).mount('#app');
