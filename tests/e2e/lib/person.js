// One participant: a page, and what a test asks of it.

import { expect } from '@playwright/test';
import { probe } from './probe.js';

/** A person at a page: of Playwright, or of `firefox.js`, which can do the part that calls need. */
export class Person {
  /** How many offers this page has sent. */
  offers = 0;

  /** Takes a page that has not been anywhere yet. */
  static async at(page, name) {
    await page.addInitScript(probe);
    return new Person(page, name);
  }

  constructor(page, name) {
    this.page = page;
    this.name = name;
    page.on?.('websocket', (socket) => {
      socket.on('framesent', ({ payload }) => {
        if (JSON.parse(payload).data?.description?.type === 'offer') this.offers += 1;
      });
    });
  }

  /**
   * Enters a room without the pages before it, with a camera and without a microphone unless told otherwise. Resolves
   * when the person is in the room, waits to be admitted, or has been told why not: the next one to join is the second.
   */
  async join(base, room, { audio = false, video = true, query: more = {} } = {}) {
    const flag = (on) => (on ? '1' : '0');
    const query = new URLSearchParams({
      name: this.name,
      autojoin: '1',
      audio: flag(audio),
      video: flag(video),
      ...more,
    });
    await this.page.goto(new URL(`r/${room}?${query}`, base).href);
    const settled = () =>
      this.page.evaluate(() => document.querySelector('[data-action=leave], [data-failure]') !== null);
    await expect.poll(settled, { message: `${this.name} joins`, intervals: [50] }).toBe(true);
  }

  /** Closes the tab; resolves when it is closed, which a busy machine delays. */
  async closeTab() {
    const closed = this.page.waitForEvent('close');
    await this.page.close({ runBeforeUnload: true });
    await closed;
  }

  /** Someone else's tile. */
  tile(name) {
    return this.page.locator(`[data-peer-id][aria-label="${name}"]`);
  }

  get tiles() {
    return this.page.locator('[data-peer-id]');
  }

  get ownTile() {
    return this.page.locator('[data-self]');
  }

  /** A button, by what it does. */
  button(action) {
    return this.page.locator(`[data-action="${action}"]`);
  }

  /** Where the page says that something is wrong. */
  failure(code) {
    return this.page.locator(`[data-failure="${code}"]`);
  }

  received(name) {
    return this.page.evaluate((name) => window.probe.received(name), name);
  }

  doubled(name) {
    return this.page.evaluate((name) => window.probe.doubled(name), name);
  }
}

/**
 * A page that has ended is gone for the others within 5 s, four of which the server waits for a reload (R114,
 * tests/protocol/returns.rs), and long before its window of 20 s ends. In milliseconds, with what a busy machine's browsers need.
 */
export const CLOSED_TAB_MS = 10_000;

/**
 * The longest pause in someone's pictures, in milliseconds, while a connection lasts: longer than a busy machine needs for
 * a picture, and shorter than ICE needs to notice a lost path (5 s).
 */
export const STALL_MS = 3_000;

/** New pictures of someone arrive from now on. */
export async function expectPictures(person, of) {
  const { frames } = await person.received(of);
  await expect
    .poll(async () => (await person.received(of)).frames, { message: `${person.name} sees ${of}` })
    .toBeGreaterThan(frames + 5);
}

/** Sound of someone arrives from now on. */
export async function expectSound(person, of) {
  const { energy } = await person.received(of);
  await expect
    .poll(async () => (await person.received(of)).energy, { message: `${person.name} hears ${of}` })
    .toBeGreaterThan(energy);
}

/** Someone sends pictures, and no sound with them. */
export async function expectSilence(person, of) {
  await expect(async () => {
    const { energy } = await person.received(of);
    for (let times = 0; times < 5; times++) await expectPictures(person, of);
    expect((await person.received(of)).energy).toBeCloseTo(energy, 6);
  }).toPass({ timeout: 20_000 });
}

/** Someone sends sound, and no pictures with it. */
export async function expectNoPictures(person, of) {
  await expect(async () => {
    const { frames } = await person.received(of);
    for (let times = 0; times < 5; times++) await expectSound(person, of);
    expect((await person.received(of)).frames).toBe(frames);
  }).toPass({ timeout: 20_000 });
}

/** Everyone sees everyone else. */
export async function expectAllSeen(people) {
  for (const person of people) {
    for (const other of people) {
      if (other !== person) await expectPictures(person, other.name);
    }
  }
}

export async function expectSignaling(person, state) {
  await expect(person.page.locator('html')).toHaveAttribute('data-signaling', state);
}

/** Two people restart ICE at once; what they send is held on the way until both have certainly offered. */
export async function glare(wire, people) {
  const expectState = async (state) => {
    for (const { page, name } of people) {
      await expect
        .poll(() => page.evaluate(() => window.probe.connections.map((pc) => pc.signalingState)), {
          message: name,
        })
        .toEqual([state]);
    }
  };
  wire.hold();
  for (const { page } of people) await page.evaluate(() => window.probe.connections[0].restartIce());
  await expectState('have-local-offer');
  wire.release();
  await expectState('stable');
}
