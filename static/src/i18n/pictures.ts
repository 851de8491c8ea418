import type { Locale } from '.';

/**
 * Pictures of a safety code, by number (`core/safety.ts`), with their names: things that cannot be confused, seen or
 * heard. The order is part of the code: changing it requires another salt there.
 */
const PICTURES = [
  ['🐶', 'dog', '狗'],
  ['🐱', 'cat', '猫'],
  ['🐴', 'horse', '马'],
  ['🐮', 'cow', '牛'],
  ['🐷', 'pig', '猪'],
  ['🐰', 'rabbit', '兔子'],
  ['🐼', 'panda', '熊猫'],
  ['🐸', 'frog', '青蛙'],
  ['🐵', 'monkey', '猴子'],
  ['🦁', 'lion', '狮子'],
  ['🐘', 'elephant', '大象'],
  ['🐢', 'turtle', '乌龟'],
  ['🐍', 'snake', '蛇'],
  ['🐟', 'fish', '鱼'],
  ['🐳', 'whale', '鲸'],
  ['🐙', 'octopus', '章鱼'],
  ['🦋', 'butterfly', '蝴蝶'],
  ['🐝', 'bee', '蜜蜂'],
  ['🐧', 'penguin', '企鹅'],
  ['🦉', 'owl', '猫头鹰'],
  ['🌲', 'fir tree', '松树'],
  ['🌵', 'cactus', '仙人掌'],
  ['🌹', 'rose', '玫瑰'],
  ['🌻', 'sunflower', '向日葵'],
  ['🍄', 'mushroom', '蘑菇'],
  ['🍎', 'apple', '苹果'],
  ['🍌', 'banana', '香蕉'],
  ['🍇', 'grapes', '葡萄'],
  ['🍉', 'watermelon', '西瓜'],
  ['🍓', 'strawberry', '草莓'],
  ['🌽', 'corn', '玉米'],
  ['🥕', 'carrot', '胡萝卜'],
  ['🍞', 'bread', '面包'],
  ['🧀', 'cheese', '奶酪'],
  ['🥚', 'egg', '鸡蛋'],
  ['🎂', 'cake', '蛋糕'],
  ['☕', 'coffee', '咖啡'],
  ['🌞', 'sun', '太阳'],
  ['🌙', 'moon', '月亮'],
  ['⭐', 'star', '星星'],
  ['🌈', 'rainbow', '彩虹'],
  ['❄️', 'snowflake', '雪花'],
  ['🔥', 'fire', '火'],
  ['⚡', 'lightning', '闪电'],
  ['🌍', 'globe', '地球'],
  ['🏠', 'house', '房子'],
  ['🚗', 'car', '汽车'],
  ['🚲', 'bicycle', '自行车'],
  ['🚂', 'train', '火车'],
  ['✈️', 'plane', '飞机'],
  ['🚀', 'rocket', '火箭'],
  ['⛵', 'sailboat', '帆船'],
  ['⚓', 'anchor', '船锚'],
  ['⏰', 'alarm clock', '闹钟'],
  ['📖', 'book', '书'],
  ['✂️', 'scissors', '剪刀'],
  ['🔑', 'key', '钥匙'],
  ['🔔', 'bell', '铃铛'],
  ['🎁', 'gift', '礼物'],
  ['☂️', 'umbrella', '雨伞'],
  ['👓', 'glasses', '眼镜'],
  ['🎈', 'balloon', '气球'],
  ['🎸', 'guitar', '吉他'],
  ['🥁', 'drum', '鼓'],
] as const;

/** Returns the pictures of a code and their names. */
export function picturesOf(
  code: readonly number[],
  locale: Locale,
): readonly { readonly sign: string; readonly name: string }[] {
  return code.map((number) => {
    const [sign, en, zh] = PICTURES[number] ?? ['', '', ''];
    return { sign, name: locale === 'en' ? en : zh };
  });
}

/** Number of pictures. */
export const PICTURE_COUNT = PICTURES.length;
