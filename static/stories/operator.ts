import type { RoomDetail, ServerOverview } from '../src/admin/api';
import { Operator, type OperatorView } from '../src/admin/operator';
import { realClock } from '../src/core/clock';

const settings = { locked: false, lobby: false, talk: false };
const [here, there] = ['0123456789abcdef', 'fedcba9876543210'];

const server: ServerOverview = {
  version: '0.1.0',
  time: '2026-01-02T11:04:05.678+08:00',
  zone: 'Asia/Shanghai',
  uptime_seconds: 276_180,
  sockets: 131,
  rooms: 4,
  members: 127,
  draining: false,
  engine: { server: here, connected: true },
  quality: {
    reports: 4_213,
    round_trip_ms: { median: 42.5, p5: 11.2, p95: 187.5 },
    loss_percent: { median: 0, p5: 0, p95: 1.4 },
    jitter_ms: { median: 3.1, p5: 0.3, p95: 17.8 },
    frozen_ms: { median: 0, p5: 0, p95: 310 },
    fps: { median: 28.4, p5: 14.2, p95: 30 },
    relayed_percent: 11.3,
  },
};

const room: RoomDetail = {
  room: '圆桌 周会',
  settings: { ...settings, lobby: true },
  members: [
    {
      id: '1',
      name: 'Grace Hopper',
      role: 'host',
      state: { mic: true, camera: true, recording: 'server' },
      server: here,
    },
    {
      id: '2',
      name: '张伟',
      role: 'participant',
      state: { mic: true, screen: true, recording: true },
      server: there,
    },
    { id: '3', name: 'Edsger Wybe Dijkstra', role: 'participant', state: { hand: true }, link: 'lost' },
  ],
  waiting: [{ id: '4', name: '李小龙' }],
};

const rooms = [room.room, 'lusab-babad-gutih-tugad', 'standup', 'a name of a meeting that is quite long'];

/** A server that has always the same to say. */
const fake = {
  server: () => Promise.resolve(server),
  rooms: () =>
    Promise.resolve({
      rooms: rooms.map((name, index) => ({
        room: name,
        members: 3 + index,
        waiting: index ? 0 : 1,
        settings,
      })),
      total: rooms.length,
    }),
  room: () => Promise.resolve(room),
  remove: () => Promise.resolve(),
  end: () => Promise.resolve(),
  drain: () => Promise.resolve(),
};

/** The operator's page, at a meeting. */
export function operate(show: (view: OperatorView) => void): Operator {
  const operator = new Operator(() => fake, realClock, show);
  operator.open('token');
  operator.choose(room.room);
  return operator;
}
