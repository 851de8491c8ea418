// Reporter that ends the output with one line for each failed test and the first lines of its error, for logs that
// keep only their end.

/** Number of error lines shown; they say what happened, the rest is the location. */
const LINES = 8;

export default class Failures {
  #failed = [];

  onTestEnd({ location, title, expectedStatus }, { status, error }) {
    if (status === expectedStatus || status === 'skipped') return;
    const said = (error?.message ?? status).replace(/\u001b\[\d+m/g, '').split('\n').filter(Boolean);
    this.#failed.push([`${location.file.split('/').at(-1)}:${location.line} ${title}`, ...said.slice(0, LINES)].join('\n    '));
  }

  onEnd() {
    for (const each of this.#failed) console.log(`  ✘ ${each}`);
  }
}
