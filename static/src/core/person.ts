import type { Member } from './mesh';
import type { Person } from './types';

/** Converts a member of the mesh to the UI's view. A listener sends nothing, whatever its state says (R42). */
export function personOf(member: Member, speaking: boolean, safety?: Person['safety']): Person {
  const { quality } = member;
  const { link, resting, stream, screen, fingerprints } = member.peer;
  const { id, name, name_from_token: nameFromToken = false, role, state } = member.entry;
  const sends = role !== 'listener';
  return {
    id,
    name,
    nameFromToken,
    role,
    mic: sends && state.mic === true,
    camera: sends && state.camera === true,
    speaking,
    hand: state.hand === true,
    recording: Boolean(state.recording),
    recordsToServer: state.recording === 'server',
    link,
    resting,
    away: member.away || member.entry.link === 'lost',
    stream,
    ...(fingerprints && { fingerprints }),
    ...(safety && { safety }),
    // Measurements from before the connection was closed do not describe it.
    ...(quality && !resting && { quality }),
    screen: sends && state.screen === true ? screen : undefined,
  };
}
