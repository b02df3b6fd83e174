// The icons of the page, drawn in the colour of the text.

const paths = {
  requests: 'M4 12a8 8 0 1 1 3.2 6.4L4 20l1.2-3.6A8 8 0 0 1 4 12Zm8-3.5v4m0 3v.01',
  pair: 'M12 5v14M5 12h14',
  devices: 'M4 5.5h11v9H4zM2.5 18.5H12M15.5 10h5v9h-5z',
  authority: 'M12 3.5 5 6.5v5c0 4.3 3 7.6 7 9 4-1.4 7-4.7 7-9v-5zM9 12l2.2 2.2L15.2 10',
  activity: 'M4 6.5h16M4 12h16M4 17.5h10',
  health: 'M3 12.5h4l2.5-6 4.5 11 2.5-5H21',
  passkeys: 'M8 15.5a4.5 4.5 0 1 1 4.2-6H21v4h-2.5v3H15v-3h-2.8A4.5 4.5 0 0 1 8 15.5Zm-1-4.5v.01',
  leave: 'M14 4.5H5.5v15H14M10 12h10.5m0 0L17 8.5m3.5 3.5L17 15.5',
  back: 'M15 5l-7 7 7 7',
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
