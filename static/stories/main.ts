/**
 * Every screen of the meeting without a server: `stories/?story=lobby`. Only in the development server.
 * `&name=Ada` fills in the name.
 */
import { createApp, h } from 'vue';
import { addressOf } from '../src/core';
import { i18n, loadAdminTexts, loadTexts } from '../src/i18n';
import '../src/ui/styles/tokens.css';
import '../src/ui/styles/base.css';
import '../src/ui/styles/controls.css';
import AdminPage from '../src/ui/admin/AdminPage.vue';
import LandingPage from '../src/ui/pages/LandingPage.vue';
import RoomPage from '../src/ui/pages/RoomPage.vue';
import { FakeMeeting } from './fake';
import { operate } from './operator';
import { stories } from './stories';

const query = new URLSearchParams(location.search);
const name = query.get('name');
const story = query.get('story') ?? '';
const view = stories[story]?.();
if (view === undefined && !['', 'landing', 'operator'].includes(story)) throw new Error(`no story: ${story}`);

const page =
  story === 'operator'
    ? h(AdminPage, { operate })
    : view === undefined
      ? h(LandingPage, { 'data-phase': 'landing', address: addressOf(location.href, './') })
      : h(RoomPage, {
          meeting: new FakeMeeting(view),
          options: { autojoin: false, ...(name !== null && { name }) },
          link: `https://meet.example.org/r/${view.room}`,
          home: './',
          diag: './diag',
        });

await (story === 'operator' ? loadAdminTexts : loadTexts)();
createApp(() => page)
  .use(i18n)
  .mount('#app');
