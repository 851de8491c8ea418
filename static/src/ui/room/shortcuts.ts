import type { MessageKey } from '../../i18n';

/** All keyboard shortcuts of the room, as listed on `?`. */
export const shortcuts: readonly (readonly [keys: string, text: MessageKey])[] = [
  ['M', 'shortcuts.mic'],
  ['Space', 'shortcuts.talk'],
  ['V', 'shortcuts.camera'],
  ['S', 'shortcuts.screen'],
  ['H', 'shortcuts.hand'],
  ['E', 'reactions.react'],
  ['C', 'shortcuts.chat'],
  ['L', 'shortcuts.people'],
  ['I', 'control.inviteTitle'],
  ['G', 'shortcuts.layout'],
  ['1 – 9', 'shortcuts.pin'],
  ['0', 'shortcuts.unpin'],
  ['O', 'shortcuts.self'],
  ['R', 'shortcuts.record'],
  ['F', 'shortcuts.fullScreen'],
  ['P', 'shortcuts.pictureInPicture'],
  ['?', 'shortcuts.list'],
];
