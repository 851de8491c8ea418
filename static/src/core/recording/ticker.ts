/** Worker that posts a message periodically. Its input is the interval in milliseconds. */
self.onmessage = ({ data }: MessageEvent<number>) => {
  setInterval(() => {
    self.postMessage(undefined);
  }, data);
};
