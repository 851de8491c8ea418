import { ref } from 'vue';

/** Number of unread messages that the document's title shows. */
export const unreadInTitle = ref(0);
