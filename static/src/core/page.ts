/** Reaction of a meeting to page lifecycle events: hidden, restored, visible again, woken from sleep. */
import type { Environment } from './environment';
import type { Mesh } from './mesh';
import type { OwnDevices } from './own';
import type { SignalingClient } from './signaling';
import { Wakefulness } from './wakefulness';

/** Options of a `PageLife`. */
export interface PageLifeOptions {
  readonly environment: Pick<Environment, 'clock' | 'watchPage'>;
  readonly own: OwnDevices;
  /** Called when the page ends for good. */
  readonly onEnd: () => void;
  /** Called when the page is suspended and may be restored: leaves the room. */
  readonly onAway: (signaling: SignalingClient) => void;
  /** Called when the page was restored; resolves with whether it may join again. */
  readonly mayReturn: () => Promise<boolean>;
  /** Called after a sleep of this many milliseconds. */
  readonly onWoken: (milliseconds: number) => void;
}

/** Follows the page lifecycle for one meeting between `start` and `stop`. */
export class PageLife {
  readonly #options: PageLifeOptions;
  #stop: (() => void) | undefined;
  /** Reopens the devices that were open when the page was suspended. */
  #restore: (() => void) | undefined;

  constructor(options: PageLifeOptions) {
    this.#options = options;
  }

  start(signaling: SignalingClient, mesh: Mesh): void {
    const { environment, own, onEnd, onWoken } = this.#options;
    const wakefulness = new Wakefulness(environment.clock, (milliseconds) => {
      // Check everything that can break during sleep.
      signaling.wake();
      mesh.restart();
      own.recheck();
      onWoken(milliseconds);
    });
    wakefulness.start();
    // A suspended page reconnects only when it is restored.
    const wake = (): void => {
      if (this.#restore === undefined) signaling.wake();
    };
    const unwatch = environment.watchPage({
      onHide: (cached) => {
        // Leave the room explicitly, so that a closed or reloaded page leaves no ghost member.
        if (cached) this.#suspend(signaling);
        else onEnd();
      },
      onRestore: () => {
        wake();
        if (this.#restore) void this.#return(this.#restore, signaling);
      },
      onVisible: () => {
        wakefulness.look();
        wake();
      },
      onOnline: () => {
        wake();
        mesh.restart();
      },
    });
    this.#stop = () => {
      wakefulness.stop();
      unwatch();
    };
  }

  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
    this.#restore = undefined;
  }

  /**
   * Suspends a page that may be restored: releases everything that prevents the back/forward cache from keeping it,
   * and leaves the room. Browsers announce that they may keep a page and then discard it without notice.
   */
  #suspend(signaling: SignalingClient): void {
    const { own, onAway } = this.#options;
    const wanted = [own.mic, own.camera].filter(({ view }) => view.on);
    onAway(signaling);
    own.close();
    this.#restore = () => {
      this.#restore = undefined;
      for (const device of wanted) void device.set(true);
    };
  }

  async #return(restore: () => void, signaling: SignalingClient): Promise<void> {
    if (!(await this.#options.mayReturn()) || this.#restore !== restore) return;
    restore();
    signaling.wake();
  }
}
