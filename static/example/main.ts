/** The smallest page on `src/core`: joins a room, shows everyone's picture and plays their sound. */
import { addressOf, DEVELOPMENT_API, isRoomName, Meeting, type MeetingView, type Person } from '../src/core';

const address = addressOf(location.href, './', import.meta.env.DEV ? DEVELOPMENT_API : undefined);
const form = find('form', HTMLFormElement);
const room = find('[name=room]', HTMLInputElement);
const name = find('[name=name]', HTMLInputElement);
const mic = find('#mic', HTMLInputElement);
const camera = find('#camera', HTMLInputElement);
const own = find('#own', HTMLVideoElement);
const state = find('#state', HTMLElement);
const people = find('#people', HTMLElement);

let meeting: Meeting | undefined;

form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (isRoomName(room.value)) enter(room.value, name.value);
  else state.textContent = 'No room can have this name.';
});
find('#leave', HTMLElement).addEventListener('click', () => meeting?.leave());
mic.addEventListener('change', () => void meeting?.setMic(mic.checked));
camera.addEventListener('change', () => void meeting?.setCamera(camera.checked));

function enter(room: string, name: string): void {
  meeting?.leave();
  meeting = new Meeting({ room, address });
  meeting.subscribe(render);
  void meeting.setMic(mic.checked);
  void meeting.setCamera(camera.checked);
  meeting.join(name);
}

function render({ phase, preview, people: present }: MeetingView): void {
  state.textContent = phase.kind === 'refused' ? `refused: ${phase.failure.code}` : phase.kind;
  play(own, preview);
  const ids = new Set(present.map(({ id }) => id));
  for (const tile of people.querySelectorAll<HTMLElement>('[data-peer-id]')) {
    if (!ids.has(tile.dataset.peerId ?? '')) tile.remove();
  }
  for (const person of present) show(person);
}

function show({ id, name, link, stream }: Person): void {
  const tile = people.querySelector<HTMLElement>(`[data-peer-id="${id}"]`) ?? newTile(id, name);
  tile.querySelector('figcaption')?.replaceChildren(`${name}: ${link}`);
  const video = tile.querySelector('video');
  if (video) play(video, stream);
}

function newTile(id: string, name: string): HTMLElement {
  const tile = document.createElement('figure');
  tile.dataset.peerId = id;
  tile.ariaLabel = name;
  const video = document.createElement('video');
  video.width = 240;
  video.autoplay = true;
  video.playsInline = true;
  tile.append(video, document.createElement('figcaption'));
  people.append(tile);
  return tile;
}

/** Setting the same stream again would make the picture flicker. */
function play(video: HTMLVideoElement, stream: MediaStream | undefined): void {
  if (video.srcObject !== (stream ?? null)) video.srcObject = stream ?? null;
}

function find<T extends Element>(selector: string, type: new () => T): T {
  const element = document.querySelector(selector);
  if (!(element instanceof type)) throw new Error(`The page has no ${selector}.`);
  return element;
}
