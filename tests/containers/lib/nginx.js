// nginx of this machine, with the stream module.

import { existsSync } from 'node:fs';

/** Debian has the module in a separate package; nginx.org's packages have it built in. */
const module = '/usr/lib/nginx/modules/ngx_stream_module.so';

/** The line that loads the module, for the beginning of a configuration. */
export const loadStream = existsSync(module) ? `load_module ${module};` : '';
