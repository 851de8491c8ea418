type Frame = string | ArrayBuffer;

/** A data channel connected to another one; a test can hold its delivery. */
export class FakeDataChannel {
  binaryType = 'blob';
  bufferedAmountLowThreshold = 0;
  bufferedAmount = 0;
  readyState: RTCDataChannelState = 'connecting';
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  readonly #listeners: (() => void)[] = [];
  onbufferedamountlow: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  /** All frames sent. */
  readonly sent: Frame[] = [];
  readonly options: RTCDataChannelInit;
  /** Largest amount ever buffered. */
  fullest = 0;
  #partner: FakeDataChannel | undefined;
  #held = false;
  #waiting: Frame[] = [];

  constructor(options: RTCDataChannelInit = {}) {
    this.options = options;
  }

  /** Creates two connected channels. */
  static pair(): [FakeDataChannel, FakeDataChannel] {
    return [new FakeDataChannel(), new FakeDataChannel()];
  }

  addEventListener(_type: 'open', listener: () => void): void {
    this.#listeners.push(listener);
  }

  connect(partner: FakeDataChannel): void {
    if (this.readyState !== 'connecting' || partner.readyState === 'closed') return;
    this.#partner = partner;
    this.readyState = 'open';
    this.onopen?.();
    for (const listener of this.#listeners) listener();
  }

  send(data: string | Uint8Array<ArrayBuffer>): void {
    if (this.readyState !== 'open') throw new Error('InvalidStateError: not open');
    const frame = typeof data === 'string' ? data : data.slice().buffer;
    this.sent.push(frame);
    this.#waiting.push(frame);
    this.bufferedAmount += sizeOf(frame);
    this.fullest = Math.max(this.fullest, this.bufferedAmount);
    queueMicrotask(() => {
      this.#drain();
    });
  }

  close(): void {
    for (const end of [this, this.#partner]) {
      if (!end || end.readyState === 'closed') continue;
      end.readyState = 'closed';
      queueMicrotask(() => end.onclose?.());
    }
  }

  /** Holds sent frames. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#drain();
  }

  #drain(): void {
    while (!this.#held && this.readyState === 'open') {
      const frame = this.#waiting.shift();
      if (frame === undefined) return;
      const before = this.bufferedAmount;
      this.bufferedAmount -= sizeOf(frame);
      this.#partner?.onmessage?.({ data: frame });
      const low = this.bufferedAmountLowThreshold;
      if (before > low && this.bufferedAmount <= low) this.onbufferedamountlow?.();
    }
  }
}

function sizeOf(frame: Frame): number {
  return typeof frame === 'string' ? frame.length : frame.byteLength;
}
