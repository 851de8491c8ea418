import type { ChatEntry, ChatFile, ChatText, Transfer, TransferState } from '../src/core/types';

const START = Date.UTC(2026, 0, 2, 3, 4);

const said = (index: number, text: string, change: Partial<ChatText> = {}): ChatText => ({
  kind: 'text',
  id: `text-${index}`,
  name: '',
  at: START + index * 60_000,
  text,
  waiting: [],
  ...change,
});
const grace = { from: 'person-0', name: 'Grace Hopper' };
const zhang = { from: 'person-1', name: '张伟' };

const to = (name: string, state: TransferState, bytes = 0): Transfer => ({
  peerId: name,
  name,
  state,
  bytes,
});
const file = (
  index: number,
  name: string,
  transfers: Transfer[],
  change: Partial<ChatFile> = {},
): ChatFile => ({
  kind: 'file',
  id: `file-${index}`,
  name: '',
  at: START + index * 60_000,
  file: name,
  size: 20_971_520,
  transfers,
  missed: [],
  ...change,
});

/** Everything that a chat can show. */
export const conversation: readonly ChatEntry[] = [
  said(0, 'The agenda is at https://example.org/agenda?day=friday — have a look.', grace),
  said(1, '看到了，谢谢！\n第二项我来讲。', zhang),
  said(2, 'Good. I am sending the slides.'),
  file(3, 'Slides, third draft (final).pdf', [
    to('Grace Hopper', 'done', 20_971_520),
    to('张伟', 'moving', 9_000_000),
    to('Alan', 'lost', 4_000_000),
  ]),
  said(4, 'Between us: is Alan well?', { ...grace, privateWith: 'Grace Hopper' }),
  said(5, 'I think so.', { privateWith: 'Grace Hopper', waiting: ['Grace Hopper'] }),
  file(6, '季度预算.xlsx', [to('张伟', 'moving', 14_000_000)], zhang),
  file(7, 'photo.jpg', [to('张伟', 'offered')], { ...zhang, size: 48_211 }),
];
