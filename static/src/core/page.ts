/** What is done in a meeting when its page goes, comes back, is seen again, or was asleep. */
import type { Environment } from './environment';
import type { Mesh } from './mesh';
import type { OwnDevices } from './own';
import type { SignalingClient } from './signaling';
import { Wakefulness } from './wakefulness';

/** What a `PageLife` is made of. */
export interface PageLifeOptions {
  readonly environment: Pick<Environment, 'clock' | 'watchPage'>;
  readonly own: OwnDevices;
  /** The page is gone for good. */
  readonly onEnd: () => void;
  /** The page is gone and may be restored: leaves the room. */
  readonly onAway: (signaling: SignalingClient) => void;
  /** The page was restored: resolves with whether it may join again. */
  readonly mayReturn: () => Promise<boolean>;
  /** For so many milliseconds. */
  readonly onWoken: (milliseconds: number) => void;
}

/** Looks after one meeting between `start` and `stop`. */
export class PageLife {
  readonly #options: PageLifeOptions;
  #stop: (() => void) | undefined;
  /** Opens again what was open when the page went. */
  #restore: (() => void) | undefined;

  constructor(options: PageLifeOptions) {
    this.#options = options;
  }

  start(signaling: SignalingClient, mesh: Mesh): void {
    const { environment, own, onEnd, onWoken } = this.#options;
    const wakefulness = new Wakefulness(environment.clock, (milliseconds) => {
      // Whatever can have broken in the sleep.
      signaling.wake();
      mesh.restart();
      own.recheck();
      onWoken(milliseconds);
    });
    wakefulness.start();
    // A suspended page reconnects when it is restored, and not before.
    const wake = (): void => {
      if (this.#restore === undefined) signaling.wake();
    };
    const unwatch = environment.watchPage({
      onHide: (cached) => {
        // Whoever is gone says so, and a reload leaves no ghost.
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
   * A page that may be restored lets go of all that would keep a browser from it, and leaves the room: browsers say
   * that they may where they then do not, and nobody would be told.
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
