import type { FailureCode } from '../../core/types';

/** What the one action of a failure does; `advice` is for the person to do outside of the page. */
export type FailureAct = 'retry' | 'rejoin' | 'rename' | 'home' | 'reload' | 'sound' | 'advice';

/** The action behind the text `failures.<code>.action`. */
export const failureActs: Record<FailureCode, FailureAct> = {
  insecure_context: 'advice',
  page_outdated: 'reload',
  browser_unsupported: 'advice',
  permission_denied: 'retry',
  no_device: 'retry',
  device_busy: 'retry',
  device_failed: 'retry',
  screen_failed: 'retry',
  device_unplugged: 'retry',
  device_replaced: 'advice',
  device_paused: 'retry',
  room_invalid: 'home',
  name_invalid: 'rename',
  room_full: 'rejoin',
  server_full: 'rejoin',
  server_unreachable: 'advice',
  wrong_address: 'advice',
  superseded: 'rejoin',
  room_locked: 'rejoin',
  lobby_refused: 'home',
  removed: 'home',
  ended: 'home',
  admit_full: 'advice',
  person_gone: 'advice',
  hosts_only: 'advice',
  protocol_error: 'reload',
  no_path: 'advice',
  sound_blocked: 'sound',
  recording_unsupported: 'advice',
  recording_limit: 'advice',
  recording_cut: 'advice',
  recording_failed: 'advice',
  page_slept: 'advice',
};
