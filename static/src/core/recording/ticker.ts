/** A worker that says something every so many milliseconds, as many as it is told. */
self.onmessage = ({ data }: MessageEvent<number>) => {
  setInterval(() => {
    self.postMessage(undefined);
  }, data);
};
