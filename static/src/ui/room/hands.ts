import type { MeetingView } from '../../core/types';

/**
 * Returns a person's place in the line of raised hands, from 1; `undefined` if theirs is the only one, or not raised.
 */
export function handPlace({ hands }: Pick<MeetingView, 'hands'>, id: string): number | undefined {
  const index = hands.indexOf(id);
  return hands.length > 1 && index >= 0 ? index + 1 : undefined;
}

/**
 * Returns a comparator that orders people by their raised hands: the earliest first, those without a raised hand
 * last.
 */
export function byHand({ hands }: Pick<MeetingView, 'hands'>) {
  const placeOf = ({ id, hand }: { readonly id: string; readonly hand: boolean }): number => {
    if (!hand) return Infinity;
    const index = hands.indexOf(id);
    // The roster does not contain it yet, or no longer.
    return index < 0 ? hands.length : index;
  };
  return (a: Parameters<typeof placeOf>[0], b: Parameters<typeof placeOf>[0]): number => {
    const [first, second] = [placeOf(a), placeOf(b)];
    return first === second ? 0 : first - second;
  };
}
