import type { DiagMessages } from './en.diag';

/** Simplified Chinese texts of the diagnostics page. */
export const zhCNDiag: DiagMessages = {
  config: {
    title: 'config.json 有误',
    json: '本页旁边的 config.json 不是有效的 JSON（{error}），正确的写法例如 {path}。',
    object: '本页旁边的 config.json 应当是一个对象，例如 {path}。',
    key: '本页旁边的 config.json 含有未知的键“{key}”，可用的键是“signal_api”、“name”、“logo”和“accent”，例如 {path}。',
    value:
      '本页旁边的 config.json 中 “signal_api” 的值是 {value}，应当是路径或完整地址，例如 {path} 或 {origin}。',
    insecure:
      '本页旁边的 config.json 中 “signal_api” 的值是 {value}，但通过 https 打开的页面只能连接 https 服务器，例如 {origin}。',
    name: '本页旁边的 config.json 中 “name” 的值是 {value}，应当是不超过 40 个字符的文本。',
    logo: '本页旁边的 config.json 中 “logo” 的值是 {value}，应当是同一文件夹中的 SVG、PNG、WebP 或 JPEG 文件的路径，例如 "logo.svg"。',
    accent: '本页旁边的 config.json 中 “accent” 的值是 {value}，应当是颜色，例如 "#0a7d55"。',
  },
  diag: {
    title: '连接检查',
    intro: '检查浏览器、服务器和中继服务器。检查结果不会发送到任何地方。',
    running: '正在检查…',
    well: '没有发现问题。',
    found: '发现问题，解决办法见下文。',
    again: '重新检查',
    devices: '测试摄像头和麦克风',
    copy: '复制报告',
    failedCopy: '请手动复制报告：',
    fix: '解决办法：{fix}',
    isWell: '正常',
    isWrong: '失败',
    isMissed: '未检查',
    noRelay: '服务器没有 TURN 中继。在受限的网络中，部分通话可能无法接通。',
    missed: {
      token: '只有受邀者可以使用中继服务器，请在会议中检查。',
      unclear: '本机有多个网络，浏览器没有报告 STUN 服务器是否应答。',
    },
    looks: {
      secure: '通过 HTTPS 打开',
      webrtc: '浏览器支持视频通话',
      server: '服务器',
      clock: '时钟',
      address: '服务器看到的你的地址',
      servers: '多台服务器共享会议室',
      links: '会议链接',
      websocket: 'WebSocket',
      stun: 'STUN 服务器',
      relay: 'TURN 中继',
      devices: '摄像头和麦克风',
    },
    findings: {
      plain_http: {
        what: '本页通过 http 打开，浏览器不允许使用摄像头和麦克风。',
        fix: '请改用 https:// 打开（或在 localhost 上访问）。',
      },
      webrtc_missing: {
        what: '这个浏览器不支持视频通话。',
        fix: '请使用新版 Chrome、Edge 或 Firefox。',
      },
      port_closed: { what: '服务器没有应答。', fix: '请检查网络。如果你是管理员，请确认服务器正在运行。' },
      wrong_path: {
        what: '此网址下的 /signal-api/ 没有转发到信令服务器。',
        fix: '让代理原样转发 /signal-api/（nginx：proxy_pass 以端口结尾，不带斜杠）。如果整个站点位于 /meet/ 等路径下，请让代理去掉该路径（带斜杠，见 nginx/sub-path.conf）。',
      },
      path_stripped: {
        what: '代理在转发前去掉了路径中的 /signal-api/。',
        fix: 'nginx：让 proxy_pass 以端口结尾，不带斜杠（proxy_pass http://127.0.0.1:18080;），或以 /signal-api/ 结尾。',
      },
      server_down: {
        what: '代理无法连接信令服务器。',
        fix: '启动服务器，并检查代理转发 /signal-api/ 的主机和端口。',
      },
      origin_refused: {
        what: '服务器不接受来自这个网址的连接。',
        fix: '请让代理转发整个 /signal-api/，而不只是 /signal-api/ws。如果页面属于另一个网站，请把它的来源加入 ROUNDTABLE_ALLOWED_ORIGINS；如果设置了 ROUNDTABLE_SERVER_NAMES，请把这个主机名加进去。',
      },
      limit_reached: {
        what: '已达到服务器总数或当前网络的连接上限。',
        fix: '请稍后再试。roundtable limits 命令可列出各项上限。如果服务器位于代理之后，请把代理地址加入 ROUNDTABLE_TRUSTED_PROXIES。',
      },
      shared_client_address: {
        what: '服务器看不到客户端地址：代理之后的所有人共用一个地址的限额。',
        fix: 'nginx：proxy_set_header X-Forwarded-For $remote_addr; 并把代理的地址加入 ROUNDTABLE_TRUSTED_PROXIES（服务器日志会给出具体的一行）。',
      },
      gateway_client_address: {
        what: '代理看到的浏览器地址是容器网络的网关：经由此路径的所有客户端共用一个地址的限额。',
        fix: '如果你不在服务器本机上：请为容器网络启用 IPv6（见 docs/NETWORKING.md 的 IPv6 一节）。',
      },
      servers_not_shared: {
        what: '这里有多台服务器轮流应答，但不共享会议室：同一会议室的参会者可能互相看不到。',
        fix: '让代理只使用一台服务器，或为所有服务器设置相同的 ROUNDTABLE_REDIS_URL 和 ROUNDTABLE_RESUME_KEY。',
      },
      no_history_fallback: {
        what: 'Web 服务器不支持 /r/<会议室> 和 /diag 这两种网址：/r/<会议室> 形式的链接会打开错误页，带 ?room= 的链接可以使用。',
        fix: "nginx：location ~ ^/r/[^/]+$ {'{'} root /usr/web/nginx/html; try_files /r/index.html =404; {'}'} location = /diag {'{'} root /usr/web/nginx/html; try_files /index.html =404; {'}'}",
      },
      clock_skew: {
        what: '服务器与本机的时钟不一致，邀请和凭据会过早或过晚过期。',
        fix: '请在两端启用时间同步（NTP）。',
      },
      upgrade_headers_missing: {
        what: '服务器有应答，但无法打开 WebSocket：代理没有转发升级请求。',
        fix: 'nginx：proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";',
      },
      websocket_failed: {
        what: '服务器有应答，但无法打开 WebSocket。',
        fix: '检查本机与服务器之间的代理、防火墙及其日志。',
      },
      stun_unreachable: {
        what: 'STUN 服务器没有应答。',
        fix: '检查它是否运行、UDP 端口（3478）是否开放。你的网络也可能阻止 UDP。',
      },
      relay_unreachable: {
        what: '中继服务器没有应答。',
        fix: '检查 coturn 是否运行、TURN_HOST 是否正确、端口（3478 UDP 和 TCP，TLS 为 5349）是否开放。你的网络也可能受限。',
      },
      relay_secret_wrong: {
        what: '中继服务器拒绝了凭据。',
        fix: '在信令服务器和中继服务器上设置相同的密钥（TURN_SECRET_FILE）和正确的时间，然后重启两者。',
      },
      relay_refused: {
        what: '中继服务器接受了凭据，但没有分配端口。',
        fix: '增加端口（TURN_RELAY_PORTS）和配额（TURN_USER_QUOTA）。',
      },
      relay_ports_closed: {
        what: '中继服务器分配了端口，但数据无法通过。',
        fix: '开放它的 UDP 端口（TURN_RELAY_PORTS，49160-49259），并检查 TURN_HOST 是否为公网地址。',
      },
      relay_address_wrong: {
        what: '中继服务器公布的地址无法访问。',
        fix: '把 TURN_HOST（coturn：external-ip）设为中继服务器的公网地址。',
      },
      relay_not_to_itself: {
        what: '两个都需要中继服务器的人无法通过它互相连接。',
        fix: '允许中继服务器把自己的地址作为对端（coturn：allowed-peer-ip）。',
      },
      devices_blocked: {
        what: '浏览器不允许本页使用摄像头和麦克风。',
        fix: '点击地址栏旁的图标，允许摄像头和麦克风，然后刷新本页。',
      },
      devices_missing: {
        what: '浏览器没有找到可用的摄像头或麦克风。',
        fix: '请检查连接线，以及设备是否被其他程序占用。',
      },
    },
  },
};
