/** A `config.json` that is not the default. Loaded only where there is one. */
import { createApp } from 'vue';
import { i18n, loadDiagTexts } from './i18n';
import { readConfig } from './readConfig';
import ConfigPage from './ui/pages/ConfigPage.vue';

/** Reads the address of the signaling server. Where the file is wrong, shows what is and never resolves. */
export async function customApi(text: string): Promise<string | undefined> {
  const config = readConfig(text, location.protocol);
  if (typeof config !== 'object') return config;
  await loadDiagTexts();
  createApp(ConfigPage, { ...config })
    .use(i18n)
    .mount('#app');
  return new Promise(() => undefined);
}
