/** A `config.json` that is not the default. Loaded on demand. */
import { createApp } from 'vue';
import { showLogo, useAccent } from './brand';
import { i18n, loadDiagTexts, setProductName } from './i18n';
import { readConfig } from './readConfig';
import ConfigPage from './ui/pages/ConfigPage.vue';

/**
 * Applies the file, and returns the address of the signaling server. If the file is invalid, shows the problem and
 * never resolves.
 */
export async function customApi(text: string): Promise<string | undefined> {
  const config = readConfig(text, location.protocol);
  if (!('problem' in config)) {
    if (config.name !== undefined) await setProductName(config.name);
    if (config.logo !== undefined) showLogo(config.logo);
    if (config.accent !== undefined) useAccent(config.accent);
    return config.api;
  }
  await loadDiagTexts();
  createApp(ConfigPage, { ...config })
    .use(i18n)
    .mount('#app');
  return new Promise(() => undefined);
}
