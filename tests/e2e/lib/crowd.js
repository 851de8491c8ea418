// People without a browser, for meetings that are larger than the machine that runs the tests.

import { once } from 'node:events';
import WebSocket from 'ws';

/** Lets so many people enter a room who say that their cameras are on. Returns how they leave. */
export async function crowd(server, room, count) {
  const sockets = [];
  for (let index = 0; index < count; index++) {
    const socket = new WebSocket(new URL(`signal-api/ws?room=${room}`, server.url.replace(/^http/, 'ws')));
    sockets.push(socket);
    await once(socket, 'open');
    socket.send(JSON.stringify({ type: 'join', name: `Person ${index}`, state: { camera: true } }));
    await once(socket, 'message');
  }
  return () => sockets.splice(0).forEach((socket) => socket.close());
}
