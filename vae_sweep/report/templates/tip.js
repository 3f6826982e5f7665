// The tooltip: one for the whole page, beside whatever it speaks of.

const tip = byId("tip");

// Returns a ticket: it is tip.ticket for as long as this is what the tooltip says.
function showTip(anchor, ...content) {
  const ticket = tip.ticket = {};
  refill(tip, ...content);
  tip.hidden = false;
  const box = anchor.getBoundingClientRect(), own = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, box.right + 12), innerWidth - own.width - 8);
  const above = box.top - own.height - 10;
  const beside = box.right + 12 + own.width < innerWidth - 8;
  tip.style.left = `${left}px`;
  tip.style.top = `${Math.max(8, beside ? Math.min(box.top - own.height / 2, innerHeight - own.height - 8) : above > 8 ? above : box.bottom + 10)}px`;
  return ticket;
}

function hideTip() {
  tip.ticket = null;
  tip.hidden = true;
}
