import type { Report } from '../statistics';

/** Statistics of a call that sends and receives audio and video, in Chromium's format. */
export function chromiumStats({
  bytes = 100_000,
  packets = 100,
  lost = 0,
  frozen = 0,
  fractionLost = 0,
  jitter = 0.004,
  roundTrip = 0.031,
  available = 900_000,
  limit = 'none',
  relay = false,
}: {
  bytes?: number;
  packets?: number;
  lost?: number;
  frozen?: number;
  fractionLost?: number;
  jitter?: number;
  roundTrip?: number;
  available?: number;
  limit?: string;
  relay?: boolean;
} = {}): ReadonlyMap<string, Report> {
  const reports: Report[] = [
    { id: 'T01', type: 'transport', selectedCandidatePairId: 'CP1', dtlsState: 'connected' },
    {
      id: 'CP1',
      type: 'candidate-pair',
      localCandidateId: 'I1',
      remoteCandidateId: 'I2',
      state: 'succeeded',
      nominated: true,
      currentRoundTripTime: roundTrip,
      availableOutgoingBitrate: available,
    },
    { id: 'CP2', type: 'candidate-pair', state: 'failed', nominated: false, currentRoundTripTime: 9 },
    {
      id: 'I1',
      type: 'local-candidate',
      protocol: 'udp',
      candidateType: relay ? 'relay' : 'host',
      ...(relay && { relayProtocol: 'tcp' }),
    },
    { id: 'I2', type: 'remote-candidate', protocol: 'udp', candidateType: 'srflx' },
    { id: 'CI96', type: 'codec', mimeType: 'video/VP8' },
    { id: 'CI111', type: 'codec', mimeType: 'audio/opus' },
    {
      id: 'IA',
      type: 'inbound-rtp',
      kind: 'audio',
      codecId: 'CI111',
      bytesReceived: bytes / 10,
      packetsReceived: packets / 2,
      packetsLost: 0,
      jitter: jitter / 2,
    },
    {
      id: 'IV',
      type: 'inbound-rtp',
      kind: 'video',
      codecId: 'CI96',
      bytesReceived: bytes,
      packetsReceived: packets / 2,
      packetsLost: lost,
      jitter,
      frameWidth: 640,
      frameHeight: 360,
      framesPerSecond: 29.7,
      freezeCount: frozen > 0 ? 1 : 0,
      totalFreezesDuration: frozen,
    },
    // The m-line of the screen, which is not shared.
    { id: 'IS', type: 'inbound-rtp', kind: 'video', bytesReceived: 0, packetsReceived: 0, frameWidth: 1920 },
    {
      id: 'OV',
      type: 'outbound-rtp',
      kind: 'video',
      codecId: 'CI96',
      bytesSent: bytes * 2,
      frameWidth: 320,
      frameHeight: 180,
      framesPerSecond: 15,
      qualityLimitationReason: limit,
    },
    { id: 'RV', type: 'remote-inbound-rtp', kind: 'video', localId: 'OV', fractionLost, jitter: 0.002 },
  ];
  return new Map(reports.map((report) => [String(report.id), report]));
}

/**
 * Statistics of the same call in Firefox's format: no transport, no bandwidth, and the round-trip time in the remote
 * report.
 */
export function firefoxStats(): ReadonlyMap<string, Report> {
  const reports: Report[] = [
    {
      id: 'a',
      type: 'candidate-pair',
      localCandidateId: 'l',
      remoteCandidateId: 'r',
      selected: true,
      state: 'succeeded',
    },
    { id: 'l', type: 'local-candidate', protocol: 'udp', candidateType: 'host' },
    { id: 'r', type: 'remote-candidate', protocol: 'udp', candidateType: 'relay' },
    {
      id: 'v',
      type: 'inbound-rtp',
      kind: 'video',
      bytesReceived: 5_000,
      packetsReceived: 10,
      packetsLost: 0,
    },
    { id: 'o', type: 'outbound-rtp', kind: 'video', bytesSent: 7_000 },
    {
      id: 'q',
      type: 'remote-inbound-rtp',
      localId: 'o',
      kind: 'video',
      roundTripTime: 0.12,
      fractionLost: 0.5,
    },
  ];
  return new Map(reports.map((report) => [String(report.id), report]));
}
