// Where the slider stands: whoever shows it is told when it moves.

const place = { now: null, followers: new Set() };

// now: {train, val}, each {rate, distortion} or null where the split has none; rate null without KL.
function moveTo(now) {
  place.now = now;
  for (const follower of place.followers) {
    if (follower.node.isConnected) follower.show();
    else place.followers.delete(follower);
  }
}

// The marked point in a plane that shows `split`; it leaves with the plane that it was drawn into.
function placeMark({ g, sx, sy, size, view }, split) {
  const ring = el("circle", { class: "place", r: 9, "aria-hidden": "true" });
  const show = () => {
    const at = place.now && place.now[split];
    ring.toggleAttribute("hidden", !at || at.distortion === null || at.distortion === undefined);
    if (ring.hasAttribute("hidden")) return;
    const rate = at.rate === null ? view.xRange[1] : at.rate;
    ring.setAttribute("cx", Math.min(size.width - size.margin.right, Math.max(size.margin.left, sx(rate))));
    ring.setAttribute("cy", sy(at.distortion));
  };
  g.append(ring);
  place.followers.add({ node: ring, show });
  show();
}
