/**
 * A Roundtable meeting without its pages: signaling, peer connections and devices.
 *
 * ```ts
 * const address = addressOf(location.href, document.documentElement.dataset.base ?? './');
 * const meeting = new Meeting({ room: 'standup', address });
 * meeting.subscribe(({ phase, people }) => {
 *   console.log(phase.kind, people.map(({ name, link }) => `${name}: ${link}`));
 *   for (const { id, stream } of people) videoOf(id).srcObject = stream;
 * });
 * await meeting.setMic(true);
 * meeting.join('Ada');
 * ```
 */
export * from './types';
export {
  type Address,
  addressOf,
  DEVELOPMENT_API,
  isDiagPage,
  isRoomName,
  type PageOptions,
  pageOptions,
  roomOfInput,
  roomOfPage,
} from './address';
export { FILE_BYTES, TEXT_BYTES, textBytes } from './chat/wire';
export { isPersonName } from './names';
export { browserEnvironment, type Environment } from './environment';
export { type NewRoom, newRoom } from './rooms';
export { Meeting, type MeetingOptions } from './meeting';
