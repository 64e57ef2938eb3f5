// Swipes: a finger that moves sideways over an element, far and straight enough, and lifts. What starts at the screen's edge is left to
// the browser, which goes back and forth by it.

const FAR_PX = 70;
const EDGE_PX = 24;
const SLOW_MS = 1000;

/**
 * @param {HTMLElement} element its CSS must leave sideways moves to it: touch-action: pan-y
 * @param {{left: () => void, right: () => void}} act what a swipe to that side does
 */
export function onSwipe(element, act) {
  let began = null;
  element.addEventListener("pointerdown", (event) => {
    const atEdge = event.clientX < EDGE_PX || event.clientX > innerWidth - EDGE_PX;
    const fit = event.pointerType === "touch" && event.isPrimary && !atEdge && !event.target.closest("button, input");
    began = fit ? { x: event.clientX, y: event.clientY, atMs: event.timeStamp } : null;
  });
  element.addEventListener("pointermove", (event) => {
    if (began && event.isPrimary) {
      const movedPx = event.clientX - began.x;
      element.style.translate = `${Math.max(-FAR_PX, Math.min(FAR_PX, movedPx))}px`;
      element.classList.toggle("far", Math.abs(movedPx) >= FAR_PX);
    }
  });
  const end = (event) => {
    const from = began;
    began = null;
    element.style.translate = "";
    element.classList.remove("far");
    if (!from || event.type === "pointercancel") {
      return;
    }
    const [x, y] = [event.clientX - from.x, event.clientY - from.y];
    if (Math.abs(x) >= FAR_PX && Math.abs(y) < Math.abs(x) / 2 && event.timeStamp - from.atMs < SLOW_MS) {
      act[x < 0 ? "left" : "right"]();
    }
  };
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
}
