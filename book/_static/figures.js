/* Draws the book's Plotly figures when they come near the view and lets go of them when they leave it:
   a browser keeps at most 16 WebGL drawings. Plotly itself is loaded only on pages that have a figure. */
(() => {
  const here = document.currentScript.src;
  const NARROW = 560;

  const colours = () => document.documentElement.dataset.theme === "dark"
    ? {ink: "#d6d6d6", grid: "#505050", box: "#333333"}
    : {ink: "#222222", grid: "#d0d0d0", box: "#f4f4f4"};

  const look = () => {
    const {ink, grid, box} = colours();
    const axis = {gridcolor: grid, zerolinecolor: grid, linecolor: ink, tickcolor: ink};
    const space = {...axis, color: ink, backgroundcolor: "rgba(0,0,0,0)"};
    return {
      font: {color: ink}, xaxis: axis, yaxis: axis, scene: {xaxis: space, yaxis: space, zaxis: space},
      updatemenudefaults: {bgcolor: box, bordercolor: grid, font: {color: ink}},
      sliderdefaults: {bgcolor: grid, bordercolor: grid, activebgcolor: ink, currentvalue: {font: {color: ink}}},
      modebar: {bgcolor: "rgba(0,0,0,0)", color: grid, activecolor: ink},
    };
  };

  const plain = (value) => value && typeof value === "object" && !Array.isArray(value);
  const merge = (base, over) => {
    const result = {...base};
    for (const key in over) {
      result[key] = plain(over[key]) && plain(result[key]) ? merge(result[key], over[key]) : over[key];
    }
    return result;
  };

  const draw = (element) => {
    const {data, layout, frames, config} = element.figure;
    const narrow = element.clientWidth < NARROW;
    let shown = {...layout, template: merge(layout.template || {}, {layout: look()})};
    if (narrow) {
      shown = merge(shown, layout.meta?.narrow || {});
      // The buttons keep their width: the slider beside them begins further right.
      shown.sliders = shown.sliders?.map((slider) => slider.x ? {...slider, x: 0.36, len: 0.64} : slider);
    }
    element.narrow = narrow;
    element.style.minHeight = `${shown.height || shown.template.layout.height}px`;
    return Plotly.newPlot(element, {data, layout: shown, frames, config});
  };

  const start = () => {
    const elements = [...document.querySelectorAll("div.plotly-fig")];
    for (const element of elements) element.figure = JSON.parse(element.firstElementChild.textContent);
    const near = new IntersectionObserver((entries) => {
      for (const {target, isIntersecting} of entries) {
        if (isIntersecting && !target.drawn) draw(target);
        else if (!isIntersecting && target.drawn) Plotly.purge(target);
        target.drawn = isIntersecting;
      }
    }, {rootMargin: "300px"});
    const redraw = (which) => elements.filter((e) => e.drawn && which(e)).forEach(draw);
    for (const element of elements) near.observe(element);
    new MutationObserver(() => redraw(() => true))
      .observe(document.documentElement, {attributeFilter: ["data-theme"]});
    window.addEventListener("resize", () => redraw((e) => (e.clientWidth < NARROW) !== e.narrow));
  };

  document.addEventListener("DOMContentLoaded", () => {
    if (!document.querySelector("div.plotly-fig")) return;
    const script = document.createElement("script");
    script.src = new URL("plotly.min.js", here).href;
    script.onload = start;
    document.head.append(script);
  });
})();
