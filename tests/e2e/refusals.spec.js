// Whoever is refused keeps what they chose, and each button that is offered does something.

import { expect, expectPictures, expectSignaling, test } from "./lib/test.js";

test.describe("a room for two", () => {
  test.use({ settings: { ROUNDTABLE_ROOM_MEMBERS: "2" } });

  test("what was switched off before a refusal stays off after it", async ({
    join,
    person,
    server,
  }) => {
    const ada = await join("Ada", "full");
    const grace = await join("Grace", "full");
    const alan = await person("Alan");
    await alan.page.goto(`${server.url}r/full`);
    for (const device of ["mic", "camera"]) {
      const button = alan.button(device);
      await expect(button).toHaveAttribute("aria-pressed", "true");
      await button.click();
      await expect(button).toHaveAttribute("aria-pressed", "false");
    }
    await alan.page.locator("input[name=name]").fill("Alan");
    await alan.button("join").click();
    await expect(alan.failure("room_full")).toBeVisible();

    await grace.button("leave").click();
    await expect(ada.tile("Grace")).toHaveCount(0);
    await alan.button("rejoin").click();
    await expectPictures(alan, "Ada");
    for (const device of ["mic", "camera"]) {
      await expect(ada.tile("Alan")).toHaveAttribute(`data-${device}`, "off");
      await expect(alan.button(device)).toHaveAttribute(
        "aria-pressed",
        "false",
      );
    }
  });
});

test("a full server is tried again without a button for it", async ({
  person,
  server,
}) => {
  const ada = await person("Ada");
  let full = true;
  await ada.page.routeWebSocket(/signal-api/, (socket) => {
    if (full) socket.close();
    else socket.connectToServer();
  });
  await ada.page.route("**/v1/welcome", (route) =>
    route.fulfill({
      status: 503,
      json: { code: "SERVER_FULL", message: "full" },
    }),
  );
  await ada.join(server.url, "full");
  await expect(ada.failure("server_full")).toBeVisible();
  await expect(ada.failure("server_full").getByRole("button")).toHaveCount(0);
  full = false;
  await expectSignaling(ada, "open");
});

test("a page that the server does not understand can be reloaded", async ({
  person,
  server,
}) => {
  const ada = await person("Ada");
  await ada.page.routeWebSocket(/signal-api/, (socket) =>
    socket.close({ code: 1002 }),
  );
  await ada.join(server.url, "strange");
  await expect(ada.failure("protocol_error")).toBeVisible();
  const reloaded = ada.page.waitForEvent("load");
  await ada.button("reload").click();
  await reloaded;
});
