// Members without a browser, for meetings larger than the test machine can run.

import { once } from 'node:events';
import WebSocket from 'ws';

/** Joins a number of members who announce that their cameras are on. Returns a function that makes them leave. */
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
