// What a cell prints and is wider than its column is set smaller, where that makes it fit. On phones it scrolls.
(() => {
  const least = 0.7;
  const fit = (pre) => {
    pre.style.fontSize = "";
    const style = getComputedStyle(pre);
    const padding = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
    const part = (pre.clientWidth - padding) / (pre.scrollWidth - padding);
    if (part < 1 && part >= least) {
      pre.style.fontSize = `${Math.floor(parseFloat(style.fontSize) * part * 100) / 100}px`;
    }
  };
  addEventListener("DOMContentLoaded", () => {
    const watch = new ResizeObserver((seen) => seen.forEach((each) => fit(each.target)));
    document.querySelectorAll(".cell_output pre").forEach((pre) => watch.observe(pre));
  });
})();
