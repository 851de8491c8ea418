import type { ClientMessage } from '../../protocol/messages';
import type { Numbered } from '../session';
import type { Socket } from '../signaling';

/** A socket whose other end is the test. */
export class FakeSocket implements Socket {
  onopen: Socket['onopen'] = null;
  onmessage: Socket['onmessage'] = null;
  onclose: Socket['onclose'] = null;
  /** Sent messages without their numbers, which are in `numbers`. */
  readonly sent: ClientMessage[] = [];
  /** `seq` and `ack` of each message that has them. */
  readonly numbers: [seq: number, ack: number][] = [];
  closed = false;
  /** The close code. */
  code: number | undefined;
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  send(text: string): void {
    const message = JSON.parse(text) as ClientMessage & { seq?: number; ack?: number };
    const { seq, ack, ...rest } = message;
    if (seq === undefined || ack === undefined) {
      this.sent.push(message);
    } else {
      this.numbers.push([seq, ack]);
      this.sent.push(rest as ClientMessage);
    }
  }

  close(code?: number): void {
    this.closed = true;
    this.code = code;
  }

  open(): void {
    this.onopen?.call(this as unknown as WebSocket, {} as Event);
  }

  receive(message: Numbered): void {
    this.receiveText(JSON.stringify(message));
  }

  receiveText(data: string): void {
    this.onmessage?.call(this as unknown as WebSocket, { data } as MessageEvent);
  }

  end(code = 1006): void {
    this.onclose?.call(this as unknown as WebSocket, { code } as CloseEvent);
  }
}

/** Creates sockets and records them. */
export class FakeSockets {
  readonly all: FakeSocket[] = [];

  readonly connect = (url: string): FakeSocket => {
    const socket = new FakeSocket(url);
    this.all.push(socket);
    return socket;
  };

  get last(): FakeSocket {
    const socket = this.all.at(-1);
    if (!socket) throw new Error('no socket was opened');
    return socket;
  }
}
