// One participant: a page, and queries for tests.

import { expect } from '@playwright/test';
import { probe } from './probe.js';

/** A person at a page: of Playwright, or of `firefox.js`, which supports the part that calls need. */
export class Person {
  /** Number of offers that this page has sent. */
  offers = 0;

  /** Takes a page that has not been navigated yet. */
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
   * Joins a room without the lobby page, with a camera and without a microphone by default. Resolves when the person
   * is in the room, waits to be admitted, or was rejected, so that the join order is that of the calls.
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

  /** Closes the tab; resolves when it is closed, which takes long on a busy machine. */
  async closeTab() {
    const closed = this.page.waitForEvent('close');
    await this.page.close({ runBeforeUnload: true });
    await closed;
  }

  /** Locates another person's tile. */
  tile(name) {
    return this.page.locator(`[data-peer-id][aria-label="${name}"]`);
  }

  get tiles() {
    return this.page.locator('[data-peer-id]');
  }

  get ownTile() {
    return this.page.locator('[data-self]');
  }

  /** Locates a button by its action. */
  button(action) {
    return this.page.locator(`[data-action="${action}"]`);
  }

  /** Locates the message about a failure. */
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
 * A page that has ended disappears for the others within 5 s, of which the server waits four for a reload (R114,
 * tests/protocol/returns.rs), and long before the resume window of 20 s ends. In milliseconds, with a margin for busy
 * machines.
 */
export const CLOSED_TAB_MS = 10_000;

/**
 * Longest pause in a person's video, in milliseconds, on an intact connection: longer than a busy machine needs for a
 * frame, and shorter than ICE needs to notice a lost path (5 s).
 */
export const STALL_MS = 3_000;

/** Waits for new frames of a person. */
export async function expectPictures(person, of) {
  const { frames } = await person.received(of);
  await expect
    .poll(async () => (await person.received(of)).frames, { message: `${person.name} sees ${of}` })
    .toBeGreaterThan(frames + 5);
}

/** Waits for new sound of a person. */
export async function expectSound(person, of) {
  const { energy } = await person.received(of);
  await expect
    .poll(async () => (await person.received(of)).energy, { message: `${person.name} hears ${of}` })
    .toBeGreaterThan(energy);
}

/** Checks that a person sends video without sound. */
export async function expectSilence(person, of) {
  await expect(async () => {
    const { energy } = await person.received(of);
    for (let times = 0; times < 5; times++) await expectPictures(person, of);
    expect((await person.received(of)).energy).toBeCloseTo(energy, 6);
  }).toPass({ timeout: 20_000 });
}

/** Checks that a person sends sound without video. */
export async function expectNoPictures(person, of) {
  await expect(async () => {
    const { frames } = await person.received(of);
    for (let times = 0; times < 5; times++) await expectSound(person, of);
    expect((await person.received(of)).frames).toBe(frames);
  }).toPass({ timeout: 20_000 });
}

/** Checks that everyone sees everyone else. */
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

/** Lets two people restart ICE at the same time. Their messages are held until both have certainly made an offer. */
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
