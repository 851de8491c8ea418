import { createI18n } from 'petite-vue-i18n';
import { expect, test, vi } from 'vitest';
import { createSSRApp } from 'vue';
import { renderToString } from 'vue/server-renderer';
import type { ChatEntry } from '../../core/types';
import ChatBubble from './ChatBubble.vue';

// The package's index has two thousand icons, each in its own file.
vi.mock('@lucide/vue', () => ({ Download: 'svg', File: 'svg', Lock: 'svg', X: 'svg' }));
vi.mock('../../i18n', () => ({ useText: () => (key: string) => key }));

test('an address is read from left to right, also in a right-to-left text', async () => {
  vi.stubGlobal('navigator', { languages: ['en'] });
  const entry: ChatEntry = {
    kind: 'text',
    id: 'ada-1',
    from: 'ada',
    name: 'Ada',
    at: 0,
    text: 'ראו https://example.org/א',
    waiting: [],
  };
  const page = createSSRApp(ChatBubble, { entry }).use(createI18n({ locale: 'en', messages: { en: {} } }));
  const html = await renderToString(page);
  expect(html).toMatch(/<p class="text" dir="auto"/);
  expect(html).toMatch(/<a[^>]* href="https:\/\/example\.org\/%D7%90"/);
  expect(html).toMatch(/<a[^>]* dir="ltr"/);
});
