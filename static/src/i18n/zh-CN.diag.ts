import type { DiagMessages } from './en.diag';

/** Simplified Chinese of the page that looks for what is wrong. */
export const zhCNDiag: DiagMessages = {
  diag: {
    title: '连接检查',
    intro: '检查本浏览器、服务器和中继之间通话所需的一切。数据不会发往别处。',
    running: '正在检查…',
    well: '一切正常。',
    found: '下面列出了问题和解决办法。',
    again: '重新检查',
    devices: '试用摄像头和麦克风',
    copy: '复制报告',
    failedCopy: '请手动复制报告：',
    fix: '解决办法：{fix}',
    isWell: '正常',
    isWrong: '有问题',
    isMissed: '未检查',
    noRelay: '服务器没有中继：在限制较严的网络中，部分通话可能连不上。',
    missed: {
      token: '只有受邀请的人才能得知中继，请在会议中检查。',
      unclear: '本机有多个网络，浏览器没有说明服务器是否应答。',
    },
    looks: {
      secure: '通过 https 打开',
      webrtc: '浏览器支持视频通话',
      server: '服务器',
      clock: '时钟',
      websocket: 'WebSocket',
      stun: 'STUN 服务器',
      relay: '中继',
      devices: '摄像头和麦克风',
    },
    findings: {
      plain_http: {
        what: '本页通过 http 打开，浏览器不允许使用摄像头和麦克风。',
        fix: '请改用 https:// 打开（或在 localhost 上访问）。',
      },
      webrtc_missing: {
        what: '这个浏览器不支持视频通话。',
        fix: '请使用新版 Chrome、Edge、Firefox 或 Safari。',
      },
      port_closed: { what: '服务器没有应答。', fix: '请检查网络；管理员请确认服务器正在运行。' },
      wrong_path: {
        what: '这个网址下的 /signal-api/ 路径没有通向信令服务器。',
        fix: '让代理原样转发 /signal-api/（nginx：proxy_pass 以端口结尾，不带斜杠）；如果整个站点位于 /meet/ 这样的路径下，则应去掉该路径（带斜杠，见 nginx/sub-path.conf）。',
      },
      server_down: {
        what: '代理连不上信令服务器。',
        fix: '启动服务器，并检查代理转发 /signal-api/ 的主机和端口。',
      },
      origin_refused: {
        what: '服务器不接受来自这个网址的连接。',
        fix: '让代理原样传递主机名（nginx：proxy_set_header Host $http_host;），或把来源写入 ROUNDTABLE_ALLOWED_ORIGINS。',
      },
      limit_reached: {
        what: '服务器总数或本网络的连接数已达上限。',
        fix: '请稍后再试；roundtable limits 可列出各项上限，在代理之后应把代理地址写入 ROUNDTABLE_TRUSTED_PROXIES。',
      },
      clock_skew: {
        what: '服务器与本机的时钟不一致，邀请和凭据会过早或过晚失效。',
        fix: '请让两边都通过网络自动校时。',
      },
      upgrade_headers_missing: {
        what: '服务器有应答，但 WebSocket 打不开：代理没有转发它。',
        fix: 'nginx：proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";',
      },
      websocket_failed: {
        what: '服务器有应答，但无法打开 WebSocket。',
        fix: '检查本机与服务器之间的代理、防火墙及其日志。',
      },
      stun_unreachable: {
        what: 'STUN 服务器没有应答。',
        fix: '检查它是否运行、UDP 端口（3478）是否开放；你的网络也可能不允许 UDP。',
      },
      relay_unreachable: {
        what: '中继没有应答。',
        fix: '检查 coturn 是否运行、TURN_HOST 是否正确、端口（3478 UDP 和 TCP，TLS 为 5349）是否开放；你的网络也可能限制较严。',
      },
      relay_secret_wrong: {
        what: '中继不接受凭据。',
        fix: '让信令服务器和中继使用相同的密钥（TURN_SECRET_FILE）和正确的时间，然后重启两者。',
      },
      relay_refused: {
        what: '中继接受了凭据，但没有分配端口。',
        fix: '增加端口（TURN_RELAY_PORTS）和配额（TURN_USER_QUOTA）。',
      },
      relay_ports_closed: {
        what: '中继分配了端口，但没有数据能通过。',
        fix: '开放它的 UDP 端口（TURN_RELAY_PORTS，49160-49259），并检查 TURN_HOST 是否为公网地址。',
      },
      relay_address_wrong: {
        what: '中继给出的地址无法到达。',
        fix: '把 TURN_HOST（coturn：external-ip）设为其机器的公网地址。',
      },
      relay_not_to_itself: {
        what: '两个都需要中继的人无法通过它互相连接。',
        fix: '允许中继把自己的地址作为对端（coturn：allowed-peer-ip）。',
      },
      devices_blocked: {
        what: '浏览器不允许本页使用摄像头和麦克风。',
        fix: '点击地址栏旁的图标允许两者，然后刷新本页。',
      },
      devices_missing: {
        what: '浏览器没有找到可用的摄像头或麦克风。',
        fix: '请检查是否接好，以及是否被其他程序占用。',
      },
    },
  },
};
