// Draws each figure from its JSON block, one after the other so that the page stays responsive.
(function () {
  "use strict";
  var config = { responsive: true, displayModeBar: false, displaylogo: false, showTips: false };
  var blocks = Array.prototype.slice.call(document.querySelectorAll("script[data-plot]"));
  var boxes = [];

  function done() {
    document.documentElement.setAttribute("data-plots", "drawn");
  }

  function draw(index) {
    if (index >= blocks.length) { done(); return; }
    var box = document.getElementById(blocks[index].getAttribute("data-plot"));
    var figure = JSON.parse(blocks[index].textContent);
    window.Plotly.newPlot(box, figure.data, figure.layout, config).then(function () {
      boxes.push(box);
      window.setTimeout(function () { draw(index + 1); }, 0);
    }, function (error) {
      box.textContent = "This figure could not be drawn; its numbers are in the table below.";
      console.error(error);
      draw(index + 1);
    });
  }

  // Paper is narrower than most screens: figures are drawn again at its width, and back afterwards.
  window.addEventListener("beforeprint", function () {
    boxes.forEach(function (box) { window.Plotly.relayout(box, { autosize: false, width: 680 }); });
  });
  window.addEventListener("afterprint", function () {
    boxes.forEach(function (box) { window.Plotly.relayout(box, { autosize: true, width: null }); });
  });
  draw(0);
})();
