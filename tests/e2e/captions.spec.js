// Captions in a browser that recognizes speech on the device. The recognizer is a fake, since no browser that runs
// here has one.

import { expect, test } from './lib/test.js';

/** A recognizer whose results the test provides: `recognised.say('hello', true)`. */
function fakeRecognition(state) {
  window.recognised = { asked: [], sessions: [] };
  window.chrome ??= {};
  window.SpeechRecognition = class extends EventTarget {
    static available(options) {
      window.recognised.asked.push(options);
      return Promise.resolve(state);
    }

    start(track) {
      window.recognised.sessions.push({ recognition: this, track });
    }

    abort() {
      this.aborted = true;
    }

    emit(type, fields = {}) {
      this.dispatchEvent(Object.assign(new Event(type), fields));
    }
  };
  window.recognised.say = (transcript, isFinal) => {
    const results = [Object.assign([{ transcript }], { isFinal })];
    window.recognised.sessions.at(-1).recognition.emit('result', { results, resultIndex: 0 });
  };
}

const lines = ({ page }) => page.locator('[data-captions] p');
const say = ({ page }, text, isFinal) =>
  page.evaluate(([text, isFinal]) => window.recognised.say(text, isFinal), [text, isFinal]);

async function enter(person, server, name, state) {
  const someone = await person(name);
  if (state) await someone.page.addInitScript(fakeRecognition, state);
  await someone.join(server.url, 'captions', { audio: name === 'Grace', video: false });
  await expect(someone.ownTile).toBeVisible();
  return someone;
}

test('what others say is shown, by a recogniser that stays on the device', async ({ person, server }) => {
  const ada = await enter(person, server, 'Ada', 'available');
  await enter(person, server, 'Grace');
  await expect(ada.tile('Grace')).toHaveAttribute('data-link', 'connected');
  await ada.button('more').click();
  await ada.button('captions').click();
  await expect(lines(ada)).toHaveText('Captions appear here when others speak. They are made on this device.');

  await expect.poll(() => ada.page.evaluate(() => window.recognised.sessions.length)).toBe(1);
  const asked = await ada.page.evaluate(() => {
    const { asked, sessions } = window.recognised;
    const [{ recognition, track }] = sessions;
    const { lang, processLocally } = recognition;
    return { asked, lang, processLocally, kind: track.kind, state: track.readyState };
  });
  expect(asked).toEqual({
    asked: [{ langs: ['en-US'], processLocally: true }],
    lang: 'en-US',
    processLocally: true,
    kind: 'audio',
    state: 'live',
  });

  // Grace is speaking: the microphone of Chromium's fake devices beeps, with silence in between.
  await expect(async () => {
    await say(ada, 'good', false);
    await say(ada, 'good morning', true);
    await expect(lines(ada).last()).toHaveText('Grace good morning', { timeout: 500 });
  }).toPass();

  // Browsers end a session after a while; a new one follows.
  await ada.page.evaluate(() => window.recognised.sessions[0].recognition.emit('end'));
  await expect.poll(() => ada.page.evaluate(() => window.recognised.sessions.length)).toBe(2);

  // A permanent error ends the captions.
  await ada.page.evaluate(() =>
    window.recognised.sessions.at(-1).recognition.emit('error', { error: 'language-not-supported' }),
  );
  await expect(lines(ada)).toHaveCount(0);
});

for (const state of ['downloadable', 'unavailable', undefined]) {
  test(`not offered where recognition on the device is ${state ?? 'unknown'}`, async ({ person, server }) => {
    const ada = await enter(person, server, 'Ada', state);
    await ada.button('more').click();
    await expect(ada.button('record')).toBeVisible();
    await expect(ada.button('captions')).toHaveCount(0);
  });
}
