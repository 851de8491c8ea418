// Devices before joining and in the call, and the connectivity check before joining.

import { chromium } from '@playwright/test';
import { allowDevices, executablePath, quiet } from './lib/chromium.js';
import { Wire } from './lib/net.js';
import { Person, expect, expectPictures, expectSound, test as base } from './lib/test.js';

/**
 * Chromium's fake cameras: the first is green, the second black (and in a format that calls do not accept), the third
 * green.
 */
const several = ['--use-fake-device-for-media-stream=device-count=3'];
const GREEN = 135;

const test = base.extend({
  /** A person whose Chromium has its own flags. */
  equipped: async ({}, use) => {
    const browsers = [];
    await use(async (name, args = [...several, ...allowDevices]) => {
      const browser = await chromium.launch({
        executablePath,
        args: [...quiet, ...args],
      });
      browsers.push(browser);
      const page = await browser.newPage({ locale: 'en-US' });
      return Person.at(page, name);
    });
    for (const browser of browsers) await browser.close();
  },
});

const picker = (person, kind) => person.page.locator(`select[name="${kind}"]`);
const pickerLabel = (person, kind) =>
  picker(person, kind).evaluate((select) => select.selectedOptions[0]?.textContent?.trim());
const path = (person, result) => person.page.locator(`[data-path="${result}"]`);
const level = async (person) =>
  Number(await person.page.getByRole('meter').first().getAttribute('aria-valuenow'));

async function enterLobby(person, url, room) {
  await person.page.goto(`${url}r/${room}`);
  await person.page.locator('input[name=name]').fill(person.name);
}

/** Returns the labels of the cameras whose video is sent. */
function sent(person) {
  return person.page.evaluate(() =>
    window.probe.connections.flatMap((pc) =>
      pc
        .getSenders()
        .filter(({ track }) => track?.kind === 'video' && track.readyState === 'live')
        .map(({ track }) => track.label),
    ),
  );
}

/** Returns the green value at the corner of a video. */
function greenness(video) {
  return video.evaluate((element) => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 8;
    const context = canvas.getContext('2d');
    context.drawImage(element, 0, 0, 32, 32, 0, 0, 8, 8);
    return context.getImageData(2, 2, 1, 1).data[1];
  });
}

async function expectGreen(video, green) {
  const close = expect.poll(() => greenness(video), {
    message: green ? 'the first camera' : 'the second',
  });
  if (green) await close.toBeGreaterThan(GREEN - 40);
  else await close.toBeLessThan(40);
}

test('the lobby: devices are chosen, the meter moves, the tone plays on the chosen speaker', async ({
  equipped,
  server,
}) => {
  const ada = await equipped('Ada');
  await ada.page.addInitScript(() => {
    window.sinks = [];
    const set = HTMLMediaElement.prototype.setSinkId;
    HTMLMediaElement.prototype.setSinkId = function (id) {
      window.sinks.push(id);
      return set.call(this, id);
    };
  });
  await enterLobby(ada, server.url, 'lobby');
  const video = ada.page.locator('video');
  await expectGreen(video, true);
  await picker(ada, 'camera').selectOption({ label: 'fake_device_1' });
  await expectGreen(video, false);

  await expect.poll(() => level(ada), { message: 'the beeps of the fake microphone' }).toBeGreaterThan(20);
  await picker(ada, 'mic').selectOption({ label: 'Fake Audio Input 2' });
  await expect.poll(() => level(ada), { message: 'the second microphone' }).toBeGreaterThan(20);
  await ada.button('mic').click();
  await expect.poll(() => level(ada), { message: 'a muted microphone' }).toBe(0);

  await picker(ada, 'speaker').selectOption({ label: 'Fake Audio Output 2' });
  await ada.button('test-speaker').click();
  await expect(ada.button('test-speaker')).toHaveAttribute('aria-busy', 'true');
  await expect(ada.button('test-speaker')).toHaveAttribute('aria-busy', 'false');
  const chosen = await picker(ada, 'speaker').inputValue();
  expect(await ada.page.evaluate(() => window.sinks)).toEqual([chosen]);
});

test('what was chosen is remembered, and taken into the call', async ({ equipped, join, server }) => {
  const grace = await join('Grace', 'remembered');
  const ada = await equipped('Ada');
  await enterLobby(ada, server.url, 'remembered');
  await picker(ada, 'camera').selectOption({ label: 'fake_device_2' });
  await picker(ada, 'mic').selectOption({ label: 'Fake Audio Input 1' });
  await picker(ada, 'speaker').selectOption({ label: 'Fake Audio Output 2' });
  await ada.page.reload();
  await ada.page.locator('input[name=name]').fill('Ada');
  await expect.poll(() => pickerLabel(ada, 'camera')).toBe('fake_device_2');
  await expect.poll(() => pickerLabel(ada, 'mic')).toBe('Fake Audio Input 1');
  await expect.poll(() => pickerLabel(ada, 'speaker')).toBe('Fake Audio Output 2');
  const speaker = await picker(ada, 'speaker').inputValue();

  await ada.button('join').click();
  await expectPictures(grace, 'Ada');
  expect(await sent(ada)).toEqual(['fake_device_2']);
  await expect(ada.tile('Grace').locator('video')).toHaveJSProperty('sinkId', speaker);
});

test('who only listens opens nothing, and sees and hears the others', async ({ join, server, person }) => {
  const grace = await join('Grace', 'listen', { audio: true });
  const ada = await person('Ada');
  await enterLobby(ada, server.url, 'listen');
  await expect(ada.page.locator('.picture[data-camera=on]')).toBeVisible();
  await ada.button('listen').click();
  await expectPictures(ada, 'Grace');
  await expectSound(ada, 'Grace');
  await expect(grace.tile('Ada')).toHaveAttribute('data-mic', 'off');
  await expect(grace.tile('Ada')).toHaveAttribute('data-camera', 'off');
});

/** Returns the brightest green of a video: the first camera has a bright disc, the third has none. */
function brightest(video) {
  return video.evaluate((element) => {
    const canvas = document.createElement('canvas');
    canvas.width = 32;
    canvas.height = 18;
    const context = canvas.getContext('2d');
    context.drawImage(element, 0, 0, 32, 18);
    return Math.max(...context.getImageData(0, 0, 32, 18).data.filter((_, index) => index % 4 === 1));
  });
}

test('in the call another camera is chosen: the others see it, and nothing is negotiated', async ({
  equipped,
  join,
  server,
}) => {
  const grace = await join('Grace', 'switch');
  const ada = await equipped('Ada');
  await ada.join(server.url, 'switch', { audio: true });
  const seen = grace.tile('Ada').locator('video');
  await expect.poll(() => brightest(seen), { message: 'the first camera' }).toBeGreaterThan(200);
  const offers = ada.offers + grace.offers;

  await ada.button('more').click();
  await ada.button('devices').click();
  const dialog = ada.page.getByRole('dialog', { name: 'Devices' });
  await expect(dialog).toBeVisible();
  await expect.poll(() => level(ada), { message: 'the beeps of the fake microphone' }).toBeGreaterThan(20);
  await picker(ada, 'camera').selectOption({ label: 'fake_device_2' });
  await expect.poll(() => brightest(seen), { message: 'the third camera' }).toBeLessThan(170);
  await picker(ada, 'mic').selectOption({ label: 'Fake Audio Input 2' });
  await expectSound(grace, 'Ada');
  await expectPictures(grace, 'Ada');
  expect(await sent(ada)).toEqual(['fake_device_2']);
  await ada.page.keyboard.press('Escape');
  await expect(dialog).toHaveCount(0);

  expect(offers).toBeGreaterThan(0);
  expect(ada.offers + grace.offers).toBe(offers);
});

test('a camera that is unplugged in the call gives way to the next one; without one it is off', async ({
  equipped,
  join,
  server,
}) => {
  const grace = await join('Grace', 'unplug');
  const ada = await equipped('Ada');
  // A fake device cannot be unplugged: simulate the events of a device that is.
  await ada.page.addInitScript(() => {
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    const plugged = ['fake_device_0', 'fake_device_2'];
    let last;
    navigator.mediaDevices.getUserMedia = async () => {
      if (plugged.length === 0) throw new DOMException('none', 'NotFoundError');
      await open({ video: true });
      const all = await navigator.mediaDevices.enumerateDevices();
      const { deviceId } = all.find(({ label }) => label === plugged[0]);
      const stream = await open({ video: { deviceId: { exact: deviceId } } });
      last = stream.getVideoTracks()[0];
      return stream;
    };
    window.unplug = () => {
      plugged.shift();
      last.stop();
      last.dispatchEvent(new Event('ended'));
    };
  });
  await ada.join(server.url, 'unplug');
  await expectPictures(grace, 'Ada');
  expect(await sent(ada)).toEqual(['fake_device_0']);
  const offers = ada.offers + grace.offers;

  await ada.page.evaluate(() => window.unplug());
  await expect(ada.failure('device_replaced')).toContainText('lost the camera');
  await expectPictures(grace, 'Ada');
  expect(await sent(ada)).toEqual(['fake_device_2']);
  await ada.page.evaluate(() => window.unplug());
  await expect(ada.failure('device_unplugged')).toContainText('the camera');
  await expect(grace.tile('Ada')).toHaveAttribute('data-camera', 'off');
  expect(await sent(ada)).toEqual([]);
  expect(ada.offers + grace.offers).toBe(offers);
});

test('permission denied: the steps for this browser are told', async ({ equipped, server }) => {
  const ada = await equipped('Ada', [...several, '--deny-permission-prompts']);
  await enterLobby(ada, server.url, 'steps');
  await expect(ada.failure('permission_denied')).toBeVisible();
  const steps = ada.page.locator('[data-steps]');
  await steps.locator('summary').click();
  await expect(steps.getByRole('listitem')).toHaveCount(3);
  await expect(steps).toContainText('left of the address');
  await ada.button('join').click();
  await expect(ada.ownTile).toHaveAttribute('data-camera', 'off');
});

test('a camera that another program holds: said, and opened when it is free', async ({ person, server }) => {
  const ada = await person('Ada');
  await ada.page.addInitScript(() => {
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    window.busy = true;
    navigator.mediaDevices.getUserMedia = (constraints) =>
      window.busy && constraints.video
        ? Promise.reject(new DOMException('in use', 'NotReadableError'))
        : open(constraints);
  });
  await enterLobby(ada, server.url, 'busy');
  await expect(ada.failure('device_busy')).toContainText('Another program is using the camera');
  await ada.page.evaluate(() => (window.busy = false));
  await ada.failure('device_busy').getByRole('button').click();
  await expect(ada.page.locator('.picture[data-camera=on]')).toBeVisible();
  await expect(ada.failure('device_busy')).toHaveCount(0);
});

test('a call that takes the camera away for a while: said, and over when it is', async ({ join }) => {
  const ada = await join('Ada', 'paused');
  await expect(ada.ownTile).toHaveAttribute('data-camera', 'on');
  const tell = (event) =>
    ada.page.evaluate(
      (event) =>
        document
          .querySelector('[data-self] video')
          .srcObject.getVideoTracks()[0]
          .dispatchEvent(new Event(event)),
      event,
    );
  await tell('mute');
  await expect(ada.failure('device_paused')).toContainText('no signal from the camera');
  await tell('unmute');
  await expect(ada.failure('device_paused')).toHaveCount(0);
});

test('a microphone whose level cannot be read leaves no audio contexts open', async ({ person, server }) => {
  const ada = await person('Ada');
  await ada.page.addInitScript(() => {
    window.contexts = [];
    window.tries = 0;
    window.AudioContext = class extends AudioContext {
      constructor(...args) {
        super(...args);
        window.contexts.push(this);
      }
      createMediaStreamSource() {
        window.tries += 1;
        throw new DOMException('no source', 'InvalidStateError');
      }
    };
  });
  await enterLobby(ada, server.url, 'contexts');
  await expect.poll(() => ada.page.evaluate(() => window.tries)).toBeGreaterThan(5);
  await ada.button('mic').click();
  await expect
    .poll(() => ada.page.evaluate(() => window.contexts.filter(({ state }) => state !== 'closed').length))
    .toBe(0);
});

test('the screen stays on during a call, and after the page was hidden', async ({ person, server }) => {
  const ada = await person('Ada');
  await ada.page.addInitScript(() => {
    window.locks = [];
    Object.defineProperty(navigator, 'wakeLock', {
      value: {
        request: async (type) => {
          const lock = { type, released: false, release: async () => void (lock.released = true) };
          window.locks.push(lock);
          return lock;
        },
      },
    });
    window.shown = 'visible';
    Object.defineProperty(document, 'visibilityState', { get: () => window.shown });
    window.show = (state) => {
      window.shown = state;
      // As browsers do when a page is hidden.
      if (state === 'hidden') for (const lock of window.locks) lock.released = true;
      document.dispatchEvent(new Event('visibilitychange'));
    };
  });
  const held = () =>
    ada.page.evaluate(() => window.locks.filter(({ type, released }) => type === 'screen' && !released).length);
  await enterLobby(ada, server.url, 'awake');
  await expect(ada.page.locator('.picture[data-camera=on]')).toBeVisible();
  expect(await held()).toBe(0);
  await ada.button('join').click();
  await expect.poll(held).toBe(1);
  await ada.page.evaluate(() => window.show('hidden'));
  expect(await held()).toBe(0);
  await ada.page.evaluate(() => window.show('visible'));
  await expect.poll(held).toBe(1);
  await ada.button('leave').click();
  await expect.poll(held).toBe(0);
});

/** Emulates a phone: the first camera faces the user, the third one away. */
function phone() {
  const sides = { fake_device_0: 'user', fake_device_2: 'environment' };
  const { getSettings } = MediaStreamTrack.prototype;
  MediaStreamTrack.prototype.getSettings = function () {
    const facingMode = sides[this.label];
    return { ...getSettings.call(this), ...(facingMode && { facingMode }) };
  };
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const { facingMode, ...video } = constraints.video ?? {};
    if (typeof facingMode !== 'string') return open(constraints);
    const all = await navigator.mediaDevices.enumerateDevices();
    const device = all.find(({ label }) => sides[label] === facingMode);
    return open({ video: { ...video, ...(device && { deviceId: { exact: device.deviceId } }) } });
  };
}

test('a phone switches to its back camera, which is not mirrored', async ({ equipped, join, server }) => {
  const grace = await join('Grace', 'phone');
  const ada = await equipped('Ada');
  await ada.page.addInitScript(phone);
  await ada.join(server.url, 'phone');
  await expectPictures(grace, 'Ada');
  const own = ada.ownTile.locator('video');
  await expect(own).toHaveCSS('scale', '-1 1');
  // The first device list may lack names.
  for (const label of ['fake_device_2', 'fake_device_0']) {
    await ada.button('more').click();
    await ada.button('flip-camera').click();
    await expect.poll(() => sent(ada)).toEqual([label]);
    await expect(own).toHaveCSS('scale', label === 'fake_device_2' ? 'none' : '-1 1');
    await expectPictures(grace, 'Ada');
  }
});

test('a computer has no switch between cameras', async ({ equipped, server }) => {
  const ada = await equipped('Ada');
  await ada.join(server.url, 'desk');
  await ada.button('more').click();
  await expect(ada.button('hide-self')).toBeVisible();
  await expect(ada.button('flip-camera')).toHaveCount(0);
});

test('a browser within another app: said, with the way out, and joined without devices', async ({
  join,
  person,
  server,
}) => {
  const grace = await join('Grace', 'app');
  const ada = await person('Ada');
  await ada.page.addInitScript(() => Object.defineProperty(navigator, 'mediaDevices', { value: undefined }));
  await enterLobby(ada, server.url, 'app');
  await expect(ada.failure('devices_unavailable')).toContainText('Open in browser');
  await expect(ada.failure('insecure_context')).toHaveCount(0);
  await ada.button('join').click();
  await expectPictures(ada, 'Grace');
  await expect(grace.tile('Ada')).toHaveAttribute('data-camera', 'off');
});

test('a browser without WebRTC says so before it asks for anything', async ({ person, server }) => {
  const ada = await person('Ada');
  await ada.page.addInitScript(() => {
    delete window.RTCPeerConnection;
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = (constraints) => {
      window.asked = true;
      return open(constraints);
    };
  });
  await ada.page.goto(`${server.url}r/none`);
  await expect(ada.failure('browser_unsupported')).toContainText('does not support video calls');
  await expect(ada.page.locator('input[name=name]')).toHaveCount(0);
  expect(await ada.page.evaluate(() => window.asked)).toBeUndefined();
});

test('a camera that the operating system blocks is no matter of the browser’s permissions', async ({
  person,
  server,
}) => {
  const ada = await person('Ada');
  await ada.page.addInitScript(() => {
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = (constraints) =>
      constraints.video
        ? Promise.reject(new DOMException('Permission denied by system', 'NotAllowedError'))
        : open(constraints);
  });
  await enterLobby(ada, server.url, 'system');
  await expect(ada.failure('device_blocked')).toContainText('system’s privacy settings');
  await expect(ada.page.locator('[data-steps]')).toHaveCount(0);
  await expect(ada.failure('permission_denied')).toHaveCount(0);
});

test('a machine that slept says so, and the call goes on', async ({ join, person, server }) => {
  const grace = await join('Grace', 'asleep');
  const ada = await person('Ada');
  await ada.page.clock.install();
  await ada.join(server.url, 'asleep');
  await expectPictures(ada, 'Grace');
  await ada.page.clock.fastForward('10:00');
  await expect(ada.failure('page_slept')).toContainText('suspended');
  await ada.failure('page_slept').getByRole('button', { name: 'Dismiss' }).click();
  await expect(ada.failure('page_slept')).toHaveCount(0);
  await expectPictures(ada, 'Grace');
  await expectPictures(grace, 'Ada');
});

test.describe('the path', () => {
  test('is looked at before joining, says so when the server is gone, and when it is back', async ({
    person,
    server,
  }) => {
    const between = await Wire.to(server);
    const ada = await person('Ada');
    await enterLobby(ada, between.url, 'path');
    await expect(path(ada, 'none')).toContainText('You are connected');
    between.cut();
    await ada.button('check-path').click();
    await expect(path(ada, 'failed')).toContainText('The server cannot be reached.');
    between.mend();
    await ada.button('check-path').click();
    await expect(path(ada, 'none')).toBeVisible();
    between.close();
  });

  test('leaves nobody in a room', async ({ person, server, request }) => {
    const ada = await person('Ada');
    let room;
    ada.page.on('websocket', (socket) => (room = new URL(socket.url()).searchParams.get('room')));
    await enterLobby(ada, server.url, 'traceless');
    await expect(path(ada, 'none')).toBeVisible();
    const members = async (name) =>
      (await (await request.get(`${server.url}signal-api/v1/rooms/${name}`)).json()).data.members;
    expect(room).toMatch(/^check-/);
    await expect.poll(() => members(room)).toBe(0);
    expect(await members('traceless')).toBe(0);
  });

  test.describe('with a relay that does not answer', () => {
    test.use({
      settings: {
        ROUNDTABLE_ICE_URLS: 'turn:127.0.0.1:9',
        ROUNDTABLE_TURN_SECRET: 'a secret that is as long as it must be',
      },
    });

    test('says what will not work', async ({ person, server }) => {
      const ada = await person('Ada');
      await enterLobby(ada, server.url, 'relay');
      await expect(path(ada, 'unreachable')).toContainText('may not work from this network');
    });
  });
});
